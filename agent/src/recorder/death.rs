//! The end of a process: its chunks are sealed for it, and where it died, the requests that it was serving are kept.

use super::{Member, Now, Recorder};
use crate::collect::{self, ServedRequests};
use crate::recorder::seal::Full;
use crate::retention::Sealed;
use crate::triggers::{Event, Origin};
use crate::uplink;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::segment::LastWords;
use backsight_core::telemetry::DROP_COUNTERS;
use backsight_core::units::Bytes;
use backsight_ringbuf::region::{self, Ending as Left};
use backsight_ringbuf::slot;
use std::collections::BTreeSet;

/// Requests of one dead process that are kept, newest first.
const SERVED_MAX: usize = 1024;
/// Bytes of chunks that are read for them, the newest: the loop stands still meanwhile.
const SERVED_READ_MAX: Bytes = Bytes::mib(16);

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It said goodbye.
    Goodbye,
    /// It did not.
    Death,
    /// Nothing more is taken from it, whatever it writes.
    Expelled,
}

impl Recorder {
    /// Takes leave of a process that runs no more: nobody writes to its region.
    ///
    /// Every chunk that holds committed records is retained, all others are given back. After a death `process_death` fires for what its
    /// threads worked on, and for the requests that it had begun to serve and not answered.
    pub fn end(&mut self, position: u32, ending: Ending, now: Now) {
        if self.member(position).is_none_or(|member| !member.is_live) {
            return;
        }
        let mut events = self.take_signals(&[position], now);
        let full = self.gather(position, now);
        events.extend(self.index_all(&full, now));
        self.bury(position, ending, events, now);
    }

    /// Takes leave of a process that may still run: nothing more is taken from it, and what it wrote stays as long as anyone's.
    pub fn expel(&mut self, position: u32, now: Now) {
        if let Some(member) = self.member(position).filter(|member| member.is_live) {
            region::set_recording(member.region.store(), false);
            self.totals.closed_sessions += 1;
            self.end(position, Ending::Expelled, now);
        }
    }

    /// Returns all chunks of a process that runs no more that hold anything and are not indexed.
    pub(super) fn gather(&mut self, position: u32, now: Now) -> Vec<Full> {
        let mut full = self.look(&[position], now);
        let unsealed = self.unsealed(position, &full, now);
        full.extend(unsealed);
        full
    }

    /// Reads what a process that runs no more has left beside its chunks, which are indexed, and fires what follows from its end.
    pub(super) fn bury(&mut self, position: u32, ending: Ending, mut events: Vec<Event>, now: Now) {
        self.take_untold_of_all(position, now);
        let (words, active) = self.last_words(position);
        // Programs crash in their own exit, too, when threads go on with what is taken down: after the goodbye.
        let is_death = ending == Ending::Death || ending == Ending::Goodbye && words.signal != 0;
        if let Some(member) = self.member_mut(position) {
            member.take_refused();
            member.is_live = false;
            member.death = is_death.then(|| words.clone());
        }
        if is_death {
            self.totals.deaths += 1;
            self.deaths.add(now.wall_ns);
            events.extend(self.death_events(position, active, now));
        }
        self.fire_all(events, now);
        self.tell_of_end(position, is_death.then_some(&words));
        if is_death {
            // Last: a holding that names a death was made when all that the process had written was found.
            self.tell(uplink::Event::HostChanged);
        }
        self.release_free(position);
        if let Some(member) = self.member(position) {
            // A successor that finds less than this takes leave once more, which harms nobody.
            region::set_ended(member.region.store(), if is_death { Left::Died } else { Left::Ended }, now.ticks);
        }
    }

    /// Returns the firings for the requests that a dead process was serving, if anybody wants them.
    fn death_events(&mut self, position: u32, active: BTreeSet<TraceId>, now: Now) -> Vec<Event> {
        if self.settings.process_death.0 == 0 {
            return Vec::new();
        }
        let served = self.served(position, active, now);
        self.totals.deaths_unfired += served.len().saturating_sub(SERVED_MAX) as u64;
        let death = |trace| Event::Fired {
            trigger: TriggerId::PROCESS_DEATH,
            trace,
            laterals: Vec::new(),
            origin: Origin::Death,
        };
        served.into_iter().take(SERVED_MAX).map(death).collect()
    }

    /// Leaves to a successor that a process ends on purpose.
    pub fn note_goodbye(&self, position: u32) {
        if let Some(member) = self.member(position).filter(|member| member.is_live) {
            region::set_said_goodbye(member.region.store());
        }
    }

    /// Returns whether a process that runs has said that it ends on purpose.
    pub fn said_goodbye(&self, position: u32) -> bool {
        let is_it = |member: &Member| region::ending(member.region.store()) == Left::SaidGoodbye;
        self.member(position).is_some_and(is_it)
    }

    /// Notes in what is kept that a process writes no more.
    fn tell_of_end(&mut self, position: u32, death: Option<&LastWords>) {
        let Some(region) = self.member(position).map(|member| member.region.id()) else { return };
        for trace in self.kept.note_ended(region, death) {
            self.tell(match death {
                Some(_) => uplink::Event::Died { trace, region },
                None => uplink::Event::Changed { trace },
            });
        }
    }

    fn take_untold_of_all(&mut self, position: u32, now: Now) {
        let Some(member) = self.member(position) else { return };
        let numbers: Vec<u32> = member.region.slots().collect();
        self.take_untold(position, &numbers, now);
    }

    /// Returns the chunks that threads held and that are not `sealed`, as far as they hold anything, in the order in which they were opened.
    fn unsealed(&mut self, position: u32, sealed: &[Full], now: Now) -> Vec<Full> {
        let Some(member) = self.member_mut(position) else { return Vec::new() };
        // A chunk that is retained twice is given back twice, and the second time it may be another process's.
        sealed.iter().for_each(|full| member.region.retain(full.id));
        let ahead = member.region.n_ahead();
        let mut held = member.region.open_chunks();
        held.extend(member.region.ahead_chunks());
        let mut full: Vec<Full> = held.into_iter().filter_map(|id| self.read_full(position, id, now)).collect();
        self.note_taken(ahead);
        if let Some(member) = self.member_mut(position) {
            // What could not be read is free; what can be is retained when it is indexed.
            member.region.ahead_chunks().into_iter().for_each(|id| member.region.free(id));
            member.region.open_chunks().into_iter().for_each(|id| member.region.free(id));
        }
        full.sort_by_key(|full| full.info.first_ticks);
        full
    }

    /// Reads what the threads left: the last words of the one that died by a signal, and the traces that all of them worked for.
    pub(super) fn last_words(&mut self, position: u32) -> (LastWords, BTreeSet<TraceId>) {
        let (mut words, mut active, mut drops) = (LastWords::default(), BTreeSet::new(), [0_u64; DROP_COUNTERS]);
        let Some(member) = self.member_mut(position) else { return (words, active) };
        let store = member.region.store();
        for number in member.region.slots() {
            let context = slot::context(store, number);
            // A thread that has worked since did not die of that: whoever else handles the signal mended it.
            let is_last = |said: &LastWords| context.as_ref().is_none_or(|context| context.changed <= said.ticks);
            if let Some(said) = slot::last_words(store, number).filter(is_last) {
                active.insert(said.trace);
                if words.signal == 0 || said.ticks < words.ticks {
                    words = said;
                }
            }
            active.extend(context.map(|context| context.trace));
            drops.iter_mut().zip(slot::drops(store, number)).for_each(|(total, n)| *total = total.wrapping_add(n));
        }
        member.drops.iter_mut().zip(drops).for_each(|(total, n)| *total = total.wrapping_add(n));
        member.n_threads = 0;
        active.remove(&TraceId::NONE);
        (words, active)
    }

    /// Returns the traces that a dead process served: first what its threads worked on, then what was parked, newest first.
    fn served(&self, position: u32, active: BTreeSet<TraceId>, now: Now) -> Vec<TraceId> {
        let Some(member) = self.member(position) else { return Vec::new() };
        let window = u128::from(self.settings.process_death.0) * u128::from(self.settings.ticks_per_second);
        let since = now.ticks.saturating_sub((window / 1_000_000_000) as u64);
        let recent = self.retention.of_region(position).take_while(|sealed| sealed.last_ticks >= since);
        let mut left = SERVED_READ_MAX.0;
        let fits = |sealed: &&Sealed| {
            left = left.saturating_sub(sealed.class.bytes());
            left > 0
        };
        let mut chunks: Vec<_> = recent.take_while(fits).map(|sealed| sealed.chunk).collect();
        chunks.reverse();
        let (mut parked, mut cut) = (ServedRequests::default(), BTreeSet::new());
        for id in chunks {
            let Some(Ok(info)) = member.region.chunk_info(id) else { continue };
            let (segments, _) = collect::segments_of(&member.region, id, &info);
            let n_segments = segments.len();
            for (idx, segment) in segments.into_iter().enumerate() {
                let bytes = member.region.copy(id, segment.offset, segment.end);
                parked.read(segment.trace, &bytes);
                // A thread that was cut off inside a change of its context is known by the segment that it left open.
                let is_last_of_open = idx + 1 == n_segments && !info.head.sealed;
                if is_last_of_open && !collect::is_ended(&bytes) {
                    cut.insert(segment.trace);
                }
            }
        }
        let mut seen = BTreeSet::from([TraceId::NONE]);
        let all = active.into_iter().chain(cut).chain(parked.unanswered());
        all.filter(|trace| seen.insert(*trace)).collect()
    }

    /// Gives back all pages of a dead region that hold nothing.
    pub(super) fn release_free(&mut self, position: u32) {
        let Some(member) = self.member(position) else { return };
        for id in member.region.free_chunks() {
            self.punch(position, id);
        }
    }
}
