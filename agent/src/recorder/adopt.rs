//! Going on where an earlier agent of this host was killed: regions are taken over, their chunks indexed anew, and what was triggered lately
//! is copied out again.
//!
//! Called once, before anything else. Threads go on writing meanwhile, so processes are granted chunks all along.

use super::seal::Full;
use super::{Ending, Member, Now, Owned, Recorder};
use crate::journal::Journal;
use crate::region::Region;
use crate::region::adopt::{AdoptError, Adopted};
use crate::triggers::Event;
use backsight_core::clock::CalibrationPoint;
use backsight_core::ids::RegionId;
use backsight_core::units::Nanos;
use backsight_ringbuf::region::{self, Identity};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// Chunks that are indexed between two looks at what processes need: a few milliseconds of work.
const CHUNKS_PER_SLICE: usize = 256;
/// What was sealed so shortly before the earlier agent's last round may not have been seen by it.
const UNSEEN: Nanos = Nanos::from_ms(1_000);

/// A region that an earlier agent left, and its process, as that agent knew it.
#[derive(Debug)]
pub struct Survivor {
    /// The region's memory.
    pub fd: OwnedFd,
    /// Its number.
    pub region: RegionId,
    /// The process.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its start in clock ticks since boot.
    pub start_time: u64,
    /// Whether it runs.
    pub is_running: bool,
}

/// A process that ended while nobody looked, or before.
struct Ended {
    position: u32,
    ending: Ending,
    /// Whether an earlier agent has taken leave of it.
    is_buried: bool,
}

impl Recorder {
    /// Takes over what an earlier agent left; returns the position of each survivor, in their order.
    ///
    /// `journal` is what it wrote down, `clock` tells the time as it passes.
    pub fn take_over(
        &mut self,
        survivors: Vec<Survivor>,
        journal: Option<Journal>,
        point: CalibrationPoint,
        clock: &dyn Fn() -> Now,
    ) -> Vec<Result<u32, AdoptError>> {
        let start = clock();
        let linger = Nanos(start.time.0.saturating_sub(self.settings.rules.linger.0));
        let fired = journal.as_ref().map(|journal| journal.fired_since(linger)).unwrap_or_default();
        let mut unseen_since = start.ticks.saturating_sub(self.ticks_of(self.settings.rules.linger));
        if let Some(journal) = journal {
            unseen_since = journal.last_round().saturating_sub(self.ticks_of(UNSEEN));
            self.inherit(journal, start);
        } else if !survivors.is_empty() {
            self.distrust(start);
        }
        let (mut positions, mut full, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for survivor in survivors {
            let is_running = survivor.is_running;
            let adopted = self.adopt(survivor, point, start);
            if let Ok((position, sealed)) = &adopted {
                full.extend(sealed);
                ended.extend(self.ended(*position, is_running));
            }
            positions.push(adopted.map(|(position, _)| position));
        }
        if positions.iter().any(Result::is_err) {
            self.distrust(start);
        }
        for of in &ended {
            full.extend(self.gather(of.position, start));
            self.member_mut(of.position).into_iter().for_each(|member| member.is_live = false); // it is granted nothing
        }
        let mut events = self.rebuild(full, unseen_since, clock);
        self.rated_bytes = self.totals.filled_bytes; // filled before, all of them
        let now = clock();
        for of in ended {
            self.bury_adopted(&of, now);
        }
        self.expect_names(&fired, &positions);
        events.extend(fired);
        self.fire_all(events, now);
        positions
    }

    /// Has the names of triggers looked for that fired under an earlier agent: which process fired each is not known any more.
    fn expect_names(&mut self, fired: &[Event], positions: &[Result<u32, AdoptError>]) {
        let one_each: BTreeMap<_, _> = fired.iter().map(|event| (event.trigger(), event.clone())).collect();
        let one_each: Vec<Event> = one_each.into_values().collect();
        positions.iter().flatten().for_each(|position| self.names.note_fired(*position, &one_each));
    }

    /// Goes on with what an earlier agent had written down.
    fn inherit(&mut self, journal: Journal, now: Now) {
        let legacy = journal.legacy();
        self.started_ticks = legacy.whole_since;
        if legacy.has_unheld {
            self.distrust(now);
        }
        self.unrecorded.note(now.time, legacy.unrecorded);
        self.journal = Some(journal);
        let (seed, epoch) = legacy.cluster_seed;
        self.set_cluster_seed(seed, epoch);
    }

    /// Makes a member of a survivor; returns its position and what its threads had sealed.
    fn adopt(&mut self, survivor: Survivor, point: CalibrationPoint, now: Now) -> Result<(u32, Vec<Full>), AdoptError> {
        let expected =
            Identity { pid: survivor.pid, start_time: survivor.start_time, ..self.identity(survivor.region) };
        let Adopted { region, sealed } = Region::adopt(survivor.fd, &expected)?;
        region::calibrate(region.store(), point);
        region::beat(region.store(), now.time.0);
        region::set_crumbs(region.store(), self.settings.crumbs);
        self.ahead_bytes += crate::demand::bytes_of(region.n_ahead()).0;
        let service = region::service(region.store());
        let member = Member::new(region, Owned { pid: survivor.pid, uid: survivor.uid }, service, now);
        self.pages.change(member.uid, 0, member.bytes());
        let position = self.place(member);
        self.tell_shed(position);
        self.measure(position);
        let full = sealed.into_iter().filter_map(|id| self.read_full(position, id, now)).collect();
        Ok((position, full))
    }

    /// Returns how the process of a region that was taken over has ended, `None` where it runs.
    fn ended(&self, position: u32, is_running: bool) -> Option<Ended> {
        let (ending, is_buried) = match region::ending(self.member(position)?.region.store()) {
            region::Ending::Ended => (Ending::Goodbye, true),
            region::Ending::Died => (Ending::Death, true),
            _ if is_running => return None,
            region::Ending::SaidGoodbye => (Ending::Goodbye, false),
            region::Ending::Running => (Ending::Death, false),
        };
        Some(Ended { position, ending, is_buried })
    }

    /// Indexes chunks, the oldest first, and sees to it that the processes that run have something to write to; returns what their segments
    /// say was triggered that the earlier agent may not have seen.
    fn rebuild(&mut self, mut full: Vec<Full>, unseen_since: u64, clock: &dyn Fn() -> Now) -> Vec<Event> {
        full.sort_by_key(|full| full.last_ticks);
        let live: Vec<u32> = self.live().map(|(position, _)| position).collect();
        let mut events = Vec::new();
        while !full.is_empty() {
            let rest = full.split_off(full.len().min(CHUNKS_PER_SLICE));
            let now = clock();
            for chunk in std::mem::replace(&mut full, rest) {
                let said = self.index_all(&[chunk], now);
                events.extend(said.into_iter().filter(|_| chunk.last_ticks >= unseen_since));
            }
            full.extend(self.look(&live, now)); // sealed since, so later than all of these
            self.trim(now);
            live.iter().for_each(|position| self.grant_ahead(*position, now));
        }
        events
    }

    /// Takes leave of a process that ended under an earlier agent, or while there was none.
    fn bury_adopted(&mut self, of: &Ended, now: Now) {
        if !of.is_buried {
            let events = self.take_signals(&[of.position], now);
            return self.bury(of.position, of.ending, events, now);
        }
        let (words, _) = self.last_words(of.position);
        if let Some(member) = self.member_mut(of.position) {
            member.death = (of.ending == Ending::Death).then_some(words);
        }
        self.release_free(of.position);
    }
}
