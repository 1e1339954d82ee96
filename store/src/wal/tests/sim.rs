//! A disk whose power fails between any two calls, and whose calls fail when a test says so.
//!
//! What was written is seen at once by whoever reads, as by the page cache. What is on the medium is another copy, which a sync brings up to
//! date. When the power fails each sector that was written since the last sync holds what it held on the medium or after any of the
//! writes to it, each change of names that was not synced is made or not, and files that grew have either length. After a sync that failed the
//! same is true of what it should have made durable, and no later sync makes up for it, as with Linux.

use crate::wal::disk::{Disk, DiskFile, Listed, ReadAt};
use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

/// What is written to the medium as one.
const SECTOR: usize = 512;

/// A seeded source of chances.
#[derive(Clone, Debug)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// Returns a number below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// A call that changes something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Call {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    SyncNames,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    seen: Vec<u8>,
    medium: Vec<u8>,
    /// Writes since the last sync.
    loose: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

type Names = BTreeMap<String, usize>;

#[derive(Clone, Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: Names,
    medium_names: Names,
    loose_names: Vec<NameChange>,
    /// Calls that fail, so often.
    failing: BTreeMap<Call, u32>,
    /// Calls that are left until all fail, as the process is dead; the one that passes it is done in part.
    calls_left: Option<u64>,
    /// Writes that failed one after the other.
    n_failed_writes: u32,
    n_syncs: u64,
    chance: u64,
}

/// See the module. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Sim(Rc<RefCell<World>>);

/// An open file of it.
#[derive(Debug)]
pub(super) struct SimFile {
    disk: Sim,
    inode: usize,
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.world().chance = seed;
        disk
    }

    fn world(&self) -> RefMut<'_, World> {
        self.0.borrow_mut()
    }

    /// Lets the next `n` calls of `call` fail.
    pub(super) fn fail(&self, call: Call, n: u32) {
        self.world().failing.insert(call, n);
    }

    /// Ends the process within its next calls, or never.
    pub(super) fn die_after(&self, calls_left: Option<u64>) {
        self.world().calls_left = calls_left;
    }

    /// Returns whether the process has ended.
    pub(super) fn is_dead(&self) -> bool {
        self.world().calls_left == Some(0)
    }

    /// Returns whether the last two writes failed.
    pub(super) fn has_failed_twice(&self) -> bool {
        self.world().n_failed_writes >= 2
    }

    /// Returns how often files were synced.
    pub(super) fn n_syncs(&self) -> u64 {
        self.world().n_syncs
    }

    /// The process is started again; what it wrote is seen.
    pub(super) fn restart(&self) {
        let mut world = self.world();
        world.calls_left = None;
        world.failing.clear();
    }

    /// The power fails, and comes back.
    pub(super) fn lose_power(&self, chance: &mut Chance) {
        let mut world = self.world();
        for inode in &mut world.inodes {
            inode.medium = inode.after_power_loss(chance);
            inode.seen.clone_from(&inode.medium);
            inode.loose.clear();
        }
        let mut names = std::mem::take(&mut world.medium_names);
        for change in std::mem::take(&mut world.loose_names) {
            if chance.coin() {
                change.make(&mut names);
            }
        }
        world.medium_names = names.clone();
        world.names = names;
        world.calls_left = None;
        world.failing.clear();
    }

    /// Returns the bytes of a file.
    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names[name]].seen.clone()
    }

    /// Puts a file there, durably.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut world = self.world();
        let idx = world.inodes.len();
        world.inodes.push(Inode { seen: bytes.clone(), medium: bytes, loose: Vec::new() });
        world.names.insert(name.to_owned(), idx);
        world.medium_names.insert(name.to_owned(), idx);
    }

    /// Returns the names.
    pub(super) fn names(&self) -> Vec<String> {
        self.world().names.keys().cloned().collect()
    }

    /// Returns whether `call` is to be done in full, in part, or not at all.
    fn enter(&self, call: Call) -> Entered {
        let mut world = self.world();
        match world.calls_left {
            Some(0) => return Entered::Not,
            Some(n) => {
                world.calls_left = Some(n - 1);
                if n == 1 {
                    return Entered::Partly;
                }
            }
            None => {}
        }
        match world.failing.get_mut(&call).filter(|n| **n > 0) {
            Some(n) => {
                *n -= 1;
                Entered::Partly
            }
            None => Entered::Fully,
        }
    }

    /// Enters a call that is done or not.
    fn try_enter(&self, call: Call) -> io::Result<()> {
        if self.enter(call) == Entered::Fully { Ok(()) } else { Err(failure()) }
    }

    fn chance(&self) -> Chance {
        let mut world = self.world();
        world.chance = world.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Chance(world.chance)
    }
}

#[derive(PartialEq, Eq)]
enum Entered {
    Fully,
    Partly,
    Not,
}

fn failure() -> io::Error {
    io::Error::other("the test says so")
}

impl Inode {
    /// Brings the sectors up to date that were written since the last sync.
    fn reach_medium(&mut self) {
        self.medium.resize(self.seen.len(), 0);
        for sector in self.loose_sectors() {
            let bytes = sector * SECTOR..((sector + 1) * SECTOR).min(self.seen.len());
            self.medium[bytes.clone()].copy_from_slice(&self.seen[bytes]);
        }
    }

    fn loose_sectors(&self) -> BTreeSet<usize> {
        let sectors = |(at, part): &(usize, Vec<u8>)| at / SECTOR..(at + part.len()).div_ceil(SECTOR);
        self.loose.iter().flat_map(sectors).collect()
    }

    /// Returns what the medium may hold if the power fails now.
    fn after_power_loss(&self, chance: &mut Chance) -> Vec<u8> {
        let len = if chance.coin() { self.seen.len() } else { self.medium.len() };
        let mut bytes = self.medium.clone();
        bytes.resize(self.seen.len().max(len), 0);
        for sector in self.loose_sectors() {
            let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(bytes.len()));
            let n_writes = chance.below(self.loose.len() as u64 + 1) as usize;
            for (at, part) in &self.loose[..n_writes] {
                for (offset, byte) in part.iter().enumerate() {
                    if (start..end).contains(&(at + offset)) {
                        bytes[at + offset] = *byte;
                    }
                }
            }
        }
        bytes.truncate(len);
        bytes
    }
}

impl NameChange {
    /// Makes the change, where the one that it builds on was made.
    fn make(self, names: &mut Names) {
        match self {
            Self::Create(name, inode) => drop(names.insert(name, inode)),
            Self::Remove(name) => drop(names.remove(&name)),
            Self::Rename(from, to) => drop(names.remove(&from).map(|inode| names.insert(to, inode))),
        }
    }
}

impl Disk for Sim {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<Listed>> {
        let world: Ref<'_, World> = self.0.borrow();
        let listed = |(name, inode): (&String, &usize)| Listed {
            name: name.clone(),
            bytes: world.inodes[*inode].seen.len() as u64,
        };
        Ok(world.names.iter().map(listed).collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<SimFile> {
        let entered = self.enter(Call::Create);
        let mut world = self.world();
        if entered == Entered::Not {
            return Err(failure());
        }
        let inode = world.inodes.len();
        world.names.insert(name.to_owned(), inode);
        world.loose_names.push(NameChange::Create(name.to_owned(), inode));
        if entered == Entered::Partly {
            world.inodes.push(Inode::default());
            return Err(failure());
        }
        world.inodes.push(Inode { seen: vec![0; bytes as usize], ..Inode::default() });
        drop(world);
        Ok(SimFile { disk: self.clone(), inode })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let inode = self.world().names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { disk: self.clone(), inode })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.try_enter(Call::Rename)?;
        let mut world = self.world();
        let inode = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), inode);
        world.loose_names.push(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.try_enter(Call::Remove)?;
        let mut world = self.world();
        world.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        world.loose_names.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.try_enter(Call::SyncNames)?;
        let mut world = self.world();
        world.medium_names = world.names.clone();
        world.loose_names.clear();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("sim").join(name)
    }

    fn random(&self) -> u64 {
        self.chance().below(u64::MAX)
    }
}

impl ReadAt for SimFile {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        self.disk.world().inodes[self.inode].seen.read_at(bytes, at)
    }
}

impl DiskFile for SimFile {
    fn write_all_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        let entered = self.disk.enter(Call::Write);
        if entered == Entered::Not {
            return Err(failure());
        }
        let mut bytes = parts.concat();
        if entered == Entered::Partly {
            let len = self.disk.chance().below(bytes.len() as u64 + 1);
            bytes.truncate(len as usize);
        }
        let at = at as usize;
        let mut world = self.disk.world();
        let inode = &mut world.inodes[self.inode];
        assert!(at + bytes.len() <= inode.seen.len(), "a log writes within its files");
        inode.seen[at..at + bytes.len()].copy_from_slice(&bytes);
        inode.loose.push((at, bytes));
        world.n_failed_writes = if entered == Entered::Partly { world.n_failed_writes + 1 } else { 0 };
        if entered == Entered::Partly { Err(failure()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let entered = self.disk.enter(Call::Sync);
        let mut chance = self.disk.chance();
        let mut world = self.disk.world();
        world.n_syncs += 1;
        let inode = &mut world.inodes[self.inode];
        match entered {
            Entered::Not => return Err(failure()),
            // The kernel gives up what it could not write, and shows it as if it had.
            Entered::Partly => inode.medium = inode.after_power_loss(&mut chance),
            Entered::Fully => inode.reach_medium(),
        }
        inode.loose.clear();
        if entered == Entered::Fully { Ok(()) } else { Err(failure()) }
    }
}
