//! The uplink against a model of a collector that loses, repeats, restarts and goes away.

use super::{connected, fired, grew, ms, ready, trace};
use crate::uplink::announce::ANNOUNCEMENTS_MAX;
use crate::uplink::report::IN_FLIGHT_MAX;
use crate::uplink::{Action, Event, Progress, Room, Rules, Uplink};
use backsight_core::coordination::Advice;
use backsight_core::ids::TraceId;
use backsight_core::segment::SegmentKey;
use backsight_core::units::Nanos;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const RULES: Rules =
    Rules { batch_bytes: 700, bytes_per_s: 0, resend: Nanos::from_ms(2_000), linger: Nanos::from_ms(30_000) };

/// A segment in a batch, and its length there.
type Sent = (TraceId, SegmentKey, u32);

/// A collector: what is on its disk, and what is on its way to it on the present stream.
#[derive(Default)]
struct Collector {
    disk: BTreeMap<(TraceId, SegmentKey), u32>,
    arriving: VecDeque<(u64, Vec<Sent>)>,
    instance: u64,
    acked_ids: BTreeSet<u64>,
    n_said: usize,
}

/// The agent's side, with what is really kept.
struct Host {
    uplink: Uplink,
    kept: BTreeMap<(TraceId, SegmentKey), u32>,
    given_up: Vec<TraceId>,
    now: u64,
    is_reporting: bool,
}

impl Host {
    fn step(&mut self, event: Event, collector: &mut Collector) -> Result<(), proptest::test_runner::TestCaseError> {
        for action in self.uplink.step(ms(self.now), event) {
            match action {
                Action::Batch(batch) => {
                    let segments = |part: crate::uplink::Part| {
                        let trace = part.trace;
                        part.segments.into_iter().map(move |(key, len)| (trace, key, len))
                    };
                    let number = batch.number;
                    collector.arriving.push_back((number, batch.parts.into_iter().flat_map(segments).collect()));
                }
                Action::Acked { trace } => {
                    let of = |entry: &(&(TraceId, SegmentKey), &u32)| entry.0.0 == trace;
                    for (key, len) in self.kept.iter().filter(of) {
                        // More is there of a trace that was given up and found again, in a shorter copy.
                        let on_disk = collector.disk.get(key);
                        prop_assert!(on_disk >= Some(len), "called safe, and is not: {on_disk:?} of {len}");
                    }
                }
                Action::ResetReports => self.is_reporting = false,
                Action::Announce { id, .. } => {
                    collector.n_said += 1;
                    collector.acked_ids.insert(id);
                }
                // Whoever gives a trace up says so by an event of its own.
                Action::GiveUp { trace } => self.given_up.push(trace),
                Action::Answer(_) | Action::Update { .. } | Action::Demote { .. } => {}
            }
        }
        for gone in std::mem::take(&mut self.given_up) {
            self.kept.retain(|(of, _), _| *of != gone);
            self.step(Event::Gone { trace: gone }, collector)?;
        }
        prop_assert!(self.uplink.n_in_flight() <= IN_FLIGHT_MAX);
        prop_assert!(self.uplink.n_unacked_announces() <= ANNOUNCEMENTS_MAX);
        let unsent: u64 = self.uplink.queued_bytes();
        prop_assert!(unsent <= self.kept.values().map(|len| u64::from(*len) + 50).sum::<u64>());
        Ok(())
    }

    fn tick(&mut self, room: usize, collector: &mut Collector) -> Result<(), proptest::test_runner::TestCaseError> {
        self.step(Event::Tick { room: Room { coordination: room, batches: room } }, collector)
    }
}

impl Collector {
    /// Writes the next batch to disk; returns its number.
    fn store(&mut self) -> Option<u64> {
        let (number, segments) = self.arriving.pop_front()?;
        for (trace, key, len) in segments {
            let known = self.disk.entry((trace, key)).or_default();
            *known = (*known).max(len);
        }
        Some(number)
    }
}

proptest! {
    /// For every order of writing, sending, losing, acknowledging and restarting: once the collector stays, it gets everything that is kept,
    /// and a trace is never called acknowledged before all of it is on disk.
    #[test]
    fn everything_kept_is_acknowledged_in_the_end(
        steps in prop::collection::vec((0_u8..13, any::<u8>(), 0_u64..200), 1..150),
    ) {
        let (uplink, kept) = (Uplink::new(RULES), BTreeMap::new());
        let mut host = Host { uplink, kept, given_up: Vec::new(), now: 1, is_reporting: false };
        let mut collector = Collector { instance: 1, ..Collector::default() };
        for (step, n, pause) in steps {
            host.now += pause;
            match step {
                0..=2 => {
                    let (of, base, offset) = (u64::from(n % 8), u64::from(n % 8 / 2), u32::from(n / 8));
                    let event = grew(of, base, offset, 1 + u32::from(n) * u32::from(step + 1));
                    if let Event::Grew { trace, piece, .. } = &event {
                        let known = host.kept.entry((*trace, piece.key)).or_default();
                        *known = (*known).max(piece.len);
                    }
                    host.step(event, &mut collector)?;
                }
                3 => host.step(fired(u64::from(n), &[]), &mut collector)?,
                4 | 5 => host.tick(usize::from(n % 4), &mut collector)?,
                6 => {
                    collector.store();
                }
                7 => {
                    if let Some(number) = collector.store() {
                        host.step(Event::BatchAck { number }, &mut collector)?;
                        host.step(Event::BatchAck { number }, &mut collector)?; // said twice
                    }
                }
                8 => {
                    // The stream breaks; what was on its way may be lost, and a restart forgets groups, not the disk.
                    collector.arriving.clear();
                    host.is_reporting = false;
                    host.step(Event::Disconnected, &mut collector)?;
                    collector.instance += u64::from(n % 2);
                    host.step(connected(collector.instance), &mut collector)?;
                }
                9 => {
                    collector.arriving.clear();
                    host.is_reporting = true;
                    host.step(ready(), &mut collector)?;
                }
                10 => {
                    for id in std::mem::take(&mut collector.acked_ids) {
                        host.step(Event::AnnounceAck { id, is_refused: n == 0 }, &mut collector)?;
                    }
                }
                11 => {
                    let advice = Advice::ALL[usize::from(n / 8 % 4)];
                    host.step(Event::Advised(vec![(trace(u64::from(n % 8)), advice)]), &mut collector)?;
                }
                _ => {
                    let gone = trace(u64::from(n % 8));
                    host.kept.retain(|(of, _), _| *of != gone);
                    host.step(Event::Gone { trace: gone }, &mut collector)?;
                }
            }
        }
        host.step(connected(collector.instance), &mut collector)?;
        for _ in 0..400 {
            if !host.is_reporting {
                (host.is_reporting, collector.arriving) = (true, VecDeque::new());
                host.step(ready(), &mut collector)?;
            }
            host.now += 200; // what is held is held for a minute at most
            host.tick(4, &mut collector)?;
            while let Some(number) = collector.store() {
                host.step(Event::BatchAck { number }, &mut collector)?;
            }
            for id in std::mem::take(&mut collector.acked_ids) {
                host.step(Event::AnnounceAck { id, is_refused: false }, &mut collector)?;
            }
        }
        prop_assert_eq!((host.uplink.queued_bytes(), host.uplink.n_in_flight()), (0, 0));
        prop_assert_eq!(host.uplink.n_unacked_announces(), 0);
        for (key, len) in &host.kept {
            prop_assert_eq!(collector.disk.get(key).is_some_and(|on_disk| on_disk >= len), true);
            prop_assert_eq!(host.uplink.progress(key.0), Some(Progress::Acked));
        }
    }
}
