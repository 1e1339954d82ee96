//! All collectors of a cluster, asked as if they were one.
//!
//! Called by the subcommands that look at stored traces. A trace belongs to one collector, and another has it or a part of it where that one was away
//! when it was triggered. So everybody is asked, and of a trace that several have the one that lacks least is shown.

use crate::args::value::CollectorUrl;
use crate::collector::{Collector, Followed, Found, Lookup, Told};
use anyhow::{Result, bail};
use backsight_core::certificate::Verdict;
use backsight_core::ids::TraceId;
use backsight_proto::tls::TlsFiles;
use backsight_proto::v1;
use backsight_proto::wire::{StoredTrace, Summary};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

/// See the module. There is at least one.
pub(crate) struct Collectors(Vec<Collector>);

/// How long to wait before a collector that was lost is dialled again; doubled with each attempt that fails.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is heard of a collector that is followed.
pub(crate) enum Heard {
    /// What it tells.
    Told(Told),
    /// It was not reached, or is no longer; it is dialled again.
    Lost {
        /// Why, for people.
        why: String,
        /// Whether it was followed before.
        is_news: bool,
    },
    /// It refuses, or its answer makes no sense.
    Refused(anyhow::Error),
}

impl Collectors {
    /// Returns these collectors, who are shown the certificates of `tls`; `None` where there are none.
    pub(crate) fn new(urls: &[CollectorUrl], tls: Option<&TlsFiles>) -> Option<Self> {
        let collectors: Vec<Collector> = urls.iter().map(|url| Collector::new(url.clone(), tls.cloned())).collect();
        (!collectors.is_empty()).then_some(Self(collectors))
    }

    /// Returns a stored trace, or why no collector has anything of it.
    ///
    /// # Errors
    /// Nobody has it, and somebody could not be asked.
    pub(crate) fn get(&self, trace: TraceId) -> Result<Lookup> {
        let (mut best, mut absent, mut failed) = (None::<Box<StoredTrace>>, Vec::new(), Vec::new());
        for answer in self.ask_all(|collector| collector.get(trace)) {
            match answer {
                Ok(Lookup::Stored(stored)) if best.as_ref().is_none_or(|best| worth(&stored) > worth(best)) => {
                    best = Some(stored);
                }
                Ok(Lookup::Stored(_)) => {}
                Ok(Lookup::NotThere(why)) => absent.push(why),
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
        if let Some(best) = best {
            if best.certificate.verdict != Verdict::Complete {
                failed.iter().for_each(|why| eprintln!("backsight: {why}; it may have more of trace {trace}"));
            }
            return Ok(Lookup::Stored(best));
        }
        if failed.is_empty() {
            return Ok(Lookup::NotThere(absent.join(", ")));
        }
        bail!([failed, absent].concat().join("; "))
    }

    /// Returns what all collectors find, newest first, each trace once. Who cannot be asked is told on standard error, unless nobody can.
    ///
    /// # Errors
    /// Nobody can be asked.
    pub(crate) fn search(&self, filter: &v1::Filter, limit: u32) -> Result<Found> {
        let (mut traces, mut n_more, mut failed) = (BTreeMap::<TraceId, Summary>::new(), 0, Vec::new());
        for answer in self.ask_all(|collector| collector.search(filter.clone(), limit)) {
            match answer {
                Ok(found) => {
                    n_more += found.n_more;
                    found.traces.into_iter().for_each(|summary| keep_better(&mut traces, summary));
                }
                Err(error) => failed.push(error),
            }
        }
        if failed.len() == self.0.len()
            && let Some(error) = failed.pop()
        {
            return Err(error);
        }
        failed.iter().for_each(|error| eprintln!("backsight: {error:#}; what it has is left out"));
        let mut traces: Vec<Summary> = traces.into_values().collect();
        traces.sort_by_key(|summary| std::cmp::Reverse((summary.start_ns, summary.trace)));
        let n_cut = traces.len().saturating_sub(limit as usize) as u64;
        traces.truncate(limit as usize);
        Ok(Found { traces, n_more: n_more + n_cut })
    }

    /// Follows all collectors, and returns where what they tell arrives. One that is lost is dialled again for as long as somebody listens.
    pub(crate) fn follow(self, filter: &v1::Filter) -> mpsc::Receiver<(usize, Heard)> {
        let (tell, heard) = mpsc::channel();
        for (idx, collector) in self.0.into_iter().enumerate() {
            let (tell, filter) = (tell.clone(), filter.clone());
            // Nobody waits for it: it ends with the process, as it may hear nothing for hours.
            std::thread::spawn(move || listen(&collector, &filter, |heard| tell.send((idx, heard)).is_ok()));
        }
        heard
    }

    /// Returns how many there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns what each collector answers, all asked at once, in their order.
    fn ask_all<T: Send>(&self, ask: impl Fn(&Collector) -> Result<T> + Sync) -> Vec<Result<T>> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = self.0.iter().map(|collector| scope.spawn(|| ask(collector))).collect();
            let answers = asked.into_iter().map(std::thread::ScopedJoinHandle::join);
            answers.map(|answer| answer.unwrap_or_else(|_| bail!("a thread of this command has panicked"))).collect()
        })
    }
}

/// Tells `tell` what a collector tells, until that returns false or the collector refuses.
fn listen(collector: &Collector, filter: &v1::Filter, mut tell: impl FnMut(Heard) -> bool) {
    let mut pause = PAUSE_MIN;
    loop {
        let mut is_followed = false;
        let followed = collector.follow(filter, |told| {
            is_followed = true;
            Ok(tell(Heard::Told(told)))
        });
        pause = if is_followed { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        let goes_on = match followed {
            Ok(Followed::Enough) => false,
            Ok(Followed::Lost(why)) => tell(Heard::Lost { why, is_news: is_followed }),
            Err(error) => {
                tell(Heard::Refused(error));
                false
            }
        };
        if !goes_on {
            return;
        }
        std::thread::sleep(pause);
    }
}

/// Keeps of two summaries of one trace the one that lacks less.
fn keep_better(traces: &mut BTreeMap<TraceId, Summary>, summary: Summary) {
    let rank = |summary: &Summary| rank(summary.verdict, summary.n_spans);
    match traces.get_mut(&summary.trace) {
        Some(known) if rank(known) >= rank(&summary) => {}
        Some(known) => *known = summary,
        None => drop(traces.insert(summary.trace, summary)),
    }
}

/// Returns how much a collector has of a trace.
fn worth(stored: &StoredTrace) -> (bool, u64, bool) {
    let segments = stored.slices.iter().flat_map(|slice| &slice.segments);
    rank(stored.certificate.verdict, segments.map(|segment| segment.bytes.len() as u64).sum())
}

/// Returns how good a trace is: a whole one best, else the one of which there is most; of two alike, the one that may still become whole.
fn rank(verdict: Verdict, size: u64) -> (bool, u64, bool) {
    (verdict == Verdict::Complete, size, verdict == Verdict::Unknown)
}

#[cfg(test)]
mod tests {
    use super::{Summary, TraceId, Verdict, keep_better};
    use std::collections::BTreeMap;

    #[test]
    fn of_a_trace_that_two_collectors_have_the_one_that_lacks_least_is_shown() {
        let summary = |verdict, n_spans| Summary { trace: TraceId::new(1, 2), verdict, n_spans, ..Summary::default() };
        let best = |summaries: &[Summary]| {
            let mut traces = BTreeMap::new();
            summaries.iter().cloned().for_each(|summary| keep_better(&mut traces, summary));
            traces.into_values().map(|summary| (summary.verdict, summary.n_spans)).collect::<Vec<_>>()
        };
        let (complete, partial) = (summary(Verdict::Complete, 4), summary(Verdict::Partial, 9));
        assert_eq!(best(&[partial.clone(), complete.clone()]), [(Verdict::Complete, 4)]);
        assert_eq!(best(&[complete, partial.clone()]), [(Verdict::Complete, 4)]);
        assert_eq!(best(&[summary(Verdict::Partial, 3), partial.clone()]), [(Verdict::Partial, 9)]);
        // One who was only told of it knows of nothing that is missing, and has nothing.
        assert_eq!(best(&[summary(Verdict::Unknown, 0), partial]), [(Verdict::Partial, 9)]);
        let alike = [summary(Verdict::Partial, 3), summary(Verdict::Unknown, 3)];
        assert_eq!(best(&alike), [(Verdict::Unknown, 3)]);
    }
}
