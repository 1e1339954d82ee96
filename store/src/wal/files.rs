//! The files of the log by their names: which are in use, which wait to be used again, and how one becomes the other.
//!
//! Called by the writer and by recovery. What a file says about itself is durable before the file has the name of one in use, and no file is
//! written to under a new purpose before it has durably lost its old name: so a crash leaves whole files under either name, never
//! something between.

use super::disk::{Disk, DiskFile};
use super::error::WalError;
use super::file::{FileHeader, name_of, second_copy_at, spare_name_of};
use super::record::Seq;
use super::scan::Extent;
use std::collections::VecDeque;
use std::io;

/// A file that is in use.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// `None` where neither copy can be read: what stands in the file is lost.
    pub(super) header: Option<FileHeader>,
    /// Where its records end at the latest.
    pub(super) records_end: u64,
    /// Whether both copies are there and say the same.
    pub(super) is_whole: bool,
}

/// A file that waits to be used again.
#[derive(Clone, Debug)]
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// A file that is ready to be used, but for its name.
#[derive(Debug)]
pub(super) struct Prepared<F> {
    file: F,
    spare: Spare,
    header: FileHeader,
}

/// What became of files that nobody needs any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Freed {
    /// Files that wait to be used again.
    pub n_recycled: u64,
    /// Files that were removed.
    pub n_removed: u64,
}

/// Which files wait to be used again, rather than being removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// How many.
    pub(super) spares_max: u32,
    /// Of which length.
    pub(super) file_bytes: u64,
    /// How long all files may be together.
    pub(super) limit_bytes: u64,
}

impl Keep {
    fn wants(&self, bytes: u64, n_spares: usize) -> bool {
        bytes == self.file_bytes && n_spares < self.spares_max as usize
    }
}

/// All files of the log.
#[derive(Debug)]
pub(super) struct Files<D> {
    pub(super) disk: D,
    /// Oldest first; the newest is the one that is written to, if any is.
    live: VecDeque<Live>,
    spares: Vec<Spare>,
    /// Whether names were changed that are not durable yet.
    has_loose_names: bool,
}

impl<D: Disk> Files<D> {
    pub(super) fn new(disk: D, live: VecDeque<Live>, spares: Vec<Spare>) -> Self {
        Self { disk, live, spares, has_loose_names: true }
    }

    pub(super) fn live(&self) -> &VecDeque<Live> {
        &self.live
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn spare_bytes(&self) -> u64 {
        self.spares.iter().map(|file| file.bytes).sum()
    }

    /// Returns the number of the next file.
    pub(super) fn next_number(&self) -> u64 {
        self.live.back().map_or(1, |newest| newest.number + 1)
    }

    /// Returns what to read of file `idx`, if it can be read; `end` is the number behind the last record.
    pub(super) fn extent_of(&self, idx: usize, end: Seq) -> Option<Extent> {
        let file = self.live.get(idx)?;
        Some(Extent { header: file.header?, end: file.records_end, limit: limit_of(&self.live, idx).unwrap_or(end) })
    }

    /// Makes room for one more file of `bytes` within `limit_bytes`, and returns whether there is: a spare of that length, or as much to
    /// allocate. Spares of another length go for it.
    pub(super) fn make_room(&mut self, bytes: u64, limit_bytes: u64) -> Result<bool, WalError> {
        if self.live_bytes() + bytes > limit_bytes {
            return Ok(false);
        }
        let has_spare = self.spares.iter().any(|spare| spare.bytes == bytes);
        while !has_spare && self.live_bytes() + self.spare_bytes() + bytes > limit_bytes {
            let Some(spare) = self.spares.pop() else { break };
            self.remove(&spare.name)?;
        }
        Ok(true)
    }

    /// Makes a file of `bytes` with `header`, durably, that has no name of one in use yet. Where it fails nothing has changed.
    pub(super) fn prepare(&mut self, header: FileHeader, bytes: u64) -> Result<Prepared<D::File>, WalError> {
        debug_assert_eq!(header.number, self.next_number(), "files are numbered without gaps");
        self.settle_names()?; // that the spare is no file in use is durable
        let spare = self.spare(header.number, bytes)?;
        // What cannot be written is not tried again. Should it stay, the next start removes it.
        let file = self.write_headers(&spare, &header).inspect_err(|_| drop(self.disk.remove(&spare.name)))?;
        Ok(Prepared { file, spare, header })
    }

    /// Puts a file in use, durably.
    ///
    /// Where this fails the file may be in use or not, and says that its first record is the next one. So that record must not be appended to
    /// the file before; another one that is prepared takes this one's place, as it has the same name.
    pub(super) fn enter(&mut self, prepared: Prepared<D::File>) -> Result<D::File, WalError> {
        let Prepared { file, spare: Spare { name: spare, bytes }, header } = prepared;
        let name = name_of(header.number);
        self.has_loose_names = true;
        if let Err(error) = self.disk.rename(&spare, &name) {
            let _ = self.disk.remove(&spare);
            return Err(WalError::io("rename", &self.disk.path(&spare), error));
        }
        self.settle_names().inspect_err(|_| drop(self.disk.remove(&name)))?;
        let records_end = second_copy_at(bytes);
        self.live.push_back(Live { number: header.number, bytes, header: Some(header), records_end, is_whole: true });
        Ok(file)
    }

    /// Returns a file that can be begun: one that waits for it, or a new one.
    fn spare(&mut self, number: u64, bytes: u64) -> Result<Spare, WalError> {
        if let Some(idx) = self.spares.iter().position(|spare| spare.bytes == bytes) {
            return Ok(self.spares.swap_remove(idx));
        }
        let name = spare_name_of(number);
        self.has_loose_names = true;
        match self.disk.create(&name, bytes) {
            Ok(_) => Ok(Spare { name, bytes }),
            Err(error) => {
                let _ = self.disk.remove(&name); // the next start finds it otherwise
                Err(WalError::io("create", &self.disk.path(&name), error))
            }
        }
    }

    /// Writes both copies of `header` to a spare, durably. From here on no record that it held before counts as one.
    fn write_headers(&self, spare: &Spare, header: &FileHeader) -> Result<D::File, WalError> {
        let path = self.disk.path(&spare.name);
        let file = self.disk.open(&spare.name).map_err(|error| WalError::io("open", &path, error))?;
        let copy = header.encode();
        file.write_all_at(&[&copy], 0)
            .and_then(|()| file.write_all_at(&[&copy], second_copy_at(spare.bytes)))
            .map_err(|error| WalError::io("write the header of", &path, error))?;
        file.sync().map_err(|error| WalError::io("sync", &path, error))?;
        Ok(file)
    }

    /// Takes the files out of use whose records all come before `seq`: another that can be read begins there or before. The newest always stays.
    pub(super) fn free_before(&mut self, seq: Seq, keep: Keep) -> Result<Freed, WalError> {
        let mut freed = Freed::default();
        while limit_of(&self.live, 0).is_some_and(|limit| limit <= seq) {
            let Some(oldest) = self.live.front() else { break };
            let (name, spare, bytes) = (name_of(oldest.number), spare_name_of(oldest.number), oldest.bytes);
            let is_kept = oldest.header.is_some()
                && keep.wants(bytes, self.spares.len())
                && self.live_bytes() + self.spare_bytes() <= keep.limit_bytes;
            if is_kept && self.recycle(&name, &spare)? {
                self.spares.push(Spare { name: spare, bytes });
                freed.n_recycled += 1;
            } else {
                self.remove(&name)?;
                freed.n_removed += 1;
            }
            self.live.pop_front();
        }
        self.settle_names()?;
        Ok(freed)
    }

    /// Removes spares that are not wanted, and makes all names durable. Called once, when the log is opened.
    pub(super) fn settle(&mut self, keep: Keep) -> Result<(), WalError> {
        let mut kept = Vec::new();
        for spare in std::mem::take(&mut self.spares) {
            let kept_bytes: u64 = kept.iter().map(|spare: &Spare| spare.bytes).sum();
            let has_room = self.live_bytes() + kept_bytes + spare.bytes <= keep.limit_bytes;
            if has_room && keep.wants(spare.bytes, kept.len()) {
                kept.push(spare);
            } else {
                self.remove(&spare.name)?;
            }
        }
        self.spares = kept;
        self.settle_names()
    }

    /// Gives a file the name of a spare; `false` where somebody has removed it.
    fn recycle(&mut self, name: &str, spare: &str) -> Result<bool, WalError> {
        self.has_loose_names = true;
        match self.disk.rename(name, spare) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(WalError::io("rename", &self.disk.path(name), error)),
            Ok(()) => Ok(true),
        }
    }

    /// Removes a file; that it was removed before is no error.
    fn remove(&mut self, name: &str) -> Result<(), WalError> {
        self.has_loose_names = true;
        match self.disk.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(WalError::io("remove", &self.disk.path(name), error))
            }
            _ => Ok(()),
        }
    }

    fn settle_names(&mut self) -> Result<(), WalError> {
        if self.has_loose_names {
            self.disk.sync_names().map_err(|error| WalError::io("sync the folder", &self.disk.path(""), error))?;
            self.has_loose_names = false;
        }
        Ok(())
    }
}

/// Returns the number that no record of file `idx` of `live` reaches: where the next file begins that can be read, if there is one.
pub(super) fn limit_of(live: &VecDeque<Live>, idx: usize) -> Option<Seq> {
    live.iter().skip(idx + 1).find_map(|file| file.header).map(|header| header.first_seq)
}
