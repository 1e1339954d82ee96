//! Reading ground truth: which requests are edge cases, and how often each service may have been visited by them.
//!
//! Called by `check`, `edges` and the supervisor's report, on any files that lie in the folder: what is no ground truth is an error that
//! names the file and the place. Reads twice, so that memory grows with the edge cases, not with the load.

use super::format::{Event, HEADER_LEN_MAX, Header, RECORD_LEN, Record};
use super::{FILE_ENDING, KILLED_ENDING};
use crate::faults::FaultKind;
use anyhow::{Context as _, Result, ensure};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// How much is read from a file at once.
const READ_BYTES: usize = 1 << 18;

/// What is known of the edge cases of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Truth {
    /// The edge cases that reached a service, by trace id.
    pub(crate) edge_cases: BTreeMap<u128, Request>,
    /// Edge cases that reached none: they failed on the way, and there is nothing that anyone could have recorded.
    pub(crate) n_unreached: u64,
    /// Bytes at the ends of files that are no whole record.
    pub(crate) torn_bytes: u64,
}

/// What is known of one request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Request {
    /// How often each service was visited.
    pub(crate) visits: BTreeMap<String, Visits>,
    /// The faults that acted.
    pub(crate) acted: BTreeSet<FaultKind>,
    /// Whether a visit was cut by the kill of its process.
    pub(crate) is_cut: bool,
    /// Whether the load generator saw it fail.
    pub(crate) is_failed: bool,
}

/// How often one service was visited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Visits {
    /// Visits that were to be: at most so many can have been recorded.
    pub(crate) intended: u64,
    /// Visits that came to their end: at least so many were recorded.
    pub(crate) done: u64,
}

/// A file, and whether its process was killed.
struct Source {
    path: PathBuf,
    is_killed: bool,
}

impl Truth {
    /// Reads all files of ground truth in `dir`.
    ///
    /// # Errors
    /// Where there is none, where one cannot be read, or is not what it should be.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let sources = sources(dir)?;
        ensure!(!sources.is_empty(), "there is no ground truth in {}", dir.display());
        let mut truth = Self::default();
        for source in &sources {
            truth.find_edge_cases(source)?;
        }
        for source in &sources {
            truth.count_visits(source)?;
        }
        let n_edge_cases = truth.edge_cases.len();
        truth.edge_cases.retain(|_, request| !request.visits.is_empty());
        truth.n_unreached = (n_edge_cases - truth.edge_cases.len()) as u64;
        Ok(truth)
    }

    fn find_edge_cases(&mut self, source: &Source) -> Result<()> {
        let mut open = BTreeMap::new();
        self.torn_bytes += each_record(&source.path, |_, record| match record.event {
            // A parked request is an edge case by what becomes of it.
            Event::Acted { kind: FaultKind::Park, .. } | Event::Request { .. } | Event::Answered { is_ok: true } => {}
            Event::Acted { kind, .. } => {
                self.edge_cases.entry(record.trace).or_default().acted.insert(kind);
            }
            Event::Answered { is_ok: false } => self.edge_cases.entry(record.trace).or_default().is_failed = true,
            Event::Intended { visit, .. } if source.is_killed => {
                open.insert(visit, record.trace);
            }
            Event::Done { visit } if source.is_killed => {
                open.remove(&visit);
            }
            Event::Intended { .. } | Event::Done { .. } => {}
        })?;
        for trace in open.into_values() {
            self.edge_cases.entry(trace).or_default().is_cut = true;
        }
        Ok(())
    }

    fn count_visits(&mut self, source: &Source) -> Result<()> {
        let mut service_of = HashMap::new();
        each_record(&source.path, |header, record| {
            let Some(request) = self.edge_cases.get_mut(&record.trace) else { return };
            let name = |idx: u16| header.services[usize::from(idx)].clone();
            match record.event {
                Event::Intended { visit, service_idx } => {
                    request.visits.entry(name(service_idx)).or_default().intended += 1;
                    service_of.insert(visit, service_idx);
                }
                Event::Done { visit } => {
                    if let Some(service_idx) = service_of.remove(&visit) {
                        request.visits.entry(name(service_idx)).or_default().done += 1;
                    }
                }
                Event::Acted { kind, .. } => {
                    request.acted.insert(kind);
                }
                Event::Request { .. } | Event::Answered { .. } => {}
            }
        })?;
        Ok(())
    }
}

/// Says whether there is no ground truth in `dir`.
pub(super) fn is_empty(dir: &Path) -> Result<bool> {
    Ok(sources(dir)?.is_empty())
}

/// Returns the files of ground truth in `dir` by name.
fn sources(dir: &Path) -> Result<Vec<Source>> {
    let entries = dir.read_dir().with_context(|| format!("read {}", dir.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<BTreeSet<_>>>();
    let paths = paths.with_context(|| format!("read {}", dir.display()))?;
    let is_truth = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == FILE_ENDING);
    let source =
        |path: &PathBuf| Source { path: path.clone(), is_killed: paths.contains(&path.with_extension(KILLED_ENDING)) };
    Ok(paths.iter().filter(is_truth).map(source).collect())
}

/// Calls `see` with each record of a file, and returns how many bytes at its end are no whole record.
fn each_record(path: &Path, see: impl FnMut(&Header, Record)) -> Result<u64> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    parse(BufReader::with_capacity(READ_BYTES, file), see).with_context(|| format!("read {}", path.display()))
}

/// Calls `see` with each record of a file's bytes, which may be any, and returns how many at their end are no whole record.
fn parse(mut bytes: impl Read, mut see: impl FnMut(&Header, Record)) -> Result<u64> {
    let mut start = [0; RECORD_LEN];
    let n = fill(&mut bytes, &mut start)?;
    let len = Header::len(&start[..n])?;
    debug_assert!((RECORD_LEN..=HEADER_LEN_MAX).contains(&len), "`Header::len` refuses others");
    let mut header = start[..n].to_vec();
    header.resize(len, 0);
    let n = n + fill(&mut bytes, &mut header[n..])?;
    let header = Header::decode(&header[..n])?;
    let mut at = len;
    loop {
        let mut record = [0; RECORD_LEN];
        let n = fill(&mut bytes, &mut record)?;
        if n < RECORD_LEN {
            return Ok(n as u64);
        }
        let decoded = Record::decode(&record, header.services.len());
        see(&header, decoded.with_context(|| format!("at byte {at}"))?);
        at += RECORD_LEN;
    }
}

/// Reads until `place` is full or the bytes end, and returns how many there were.
fn fill(bytes: &mut impl Read, place: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < place.len() {
        match bytes.read(&mut place[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests;
