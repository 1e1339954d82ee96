//! Measures a grid of operations and thread counts on all peers at once, and turns it into rows.
//!
//! Called by `rec-micro` and `rec-threads`, which bring the grid and what must be reached. Ours is entered twice, for the A/A ratio.

use std::cell::Cell as Shared;

use anyhow::Result;

use super::{Availability, CONTROL, OURS, Op, Peer};
use crate::bench::{
    cli::Options,
    report::{Better, Question, Report, Row},
    runner::{Series, Subject, interleave},
    table,
    verdict::{Clock, Threshold},
};

/// How a metric's name tells the number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `span_ns` for one thread, `span_ns_t2` for two.
    SuffixAboveOne,
    /// `visit_ns_t1` for one thread.
    SuffixAlways,
}

/// One operation of the grid; it is measured at every thread count.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The metric without its thread count.
    pub stem: String,
    /// The case, in words.
    pub case: String,
    /// What is measured.
    pub op: Op,
}

/// What the spec asks of one metric.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The metric, with its thread count.
    pub metric: &'static str,
    /// The peer to compare with; `None` for a bound on the value.
    pub peer: Option<&'static str>,
    /// What must be reached.
    pub must: Option<&'static str>,
    /// What is hoped for.
    pub stretch: Option<&'static str>,
}

/// A grid and its demands.
#[derive(Debug)]
pub struct Grid<'a> {
    /// The operations.
    pub cells: Vec<Cell>,
    /// The thread counts, the first of them 1.
    pub threads: Vec<usize>,
    /// How metrics are named.
    pub naming: Naming,
    /// What the spec asks.
    pub demands: &'a [Demand],
    /// What ours at more threads must reach against ours at one, and up to how many threads.
    pub scaling: (&'static str, usize),
}

impl Grid<'_> {
    /// Measures the grid on `peers`, prints medians, and adds the rows of ours to `report`.
    ///
    /// # Errors
    /// A demand is no threshold, or ours could not be measured.
    pub fn run(&self, options: &Options, peers: &[Box<dyn Peer>], report: &mut Report) -> Result<()> {
        for cell in self.cells.iter().filter(|cell| options.wants(&cell.stem)) {
            let entries = self.entries(cell, peers);
            let losses: Vec<Shared<f64>> = entries.iter().map(|_| Shared::new(0.0)).collect();
            let mut subjects: Vec<Subject<'_>> =
                entries.iter().zip(&losses).map(|(entry, loss)| entry.subject(options, loss)).collect();
            let title = format!("{} ({})", cell.stem, cell.case);
            let series = interleave(&title, &mut subjects, options.rounds());
            drop(subjects);
            print!("{}", table::medians(&title, "ns", &series));
            let lossy = entries.iter().zip(&losses).filter(|(_, loss)| loss.get() > 0.0);
            lossy.for_each(|(entry, loss)| {
                println!("  {} lost up to {:.3} of what it wrote", entry.label(), loss.get())
            });
            report.results.extend(self.rows(cell, &Measured { entries: &entries, series: &series }, peers)?);
        }
        Ok(())
    }

    fn entries<'p>(&self, cell: &Cell, peers: &'p [Box<dyn Peer>]) -> Vec<Entry<'p>> {
        let able = |peer: &&'p dyn Peer| peer.supports(cell.op) && peer.availability() == Availability::Ok;
        let mut entries = Vec::new();
        for peer in peers.iter().map(AsRef::as_ref).filter(able) {
            let n_passes = if peer.name() == OURS { 2 } else { 1 };
            for pass in 0..n_passes {
                let at = |&threads| Entry { peer, op: cell.op, threads, pass };
                entries.extend(self.threads.iter().map(at));
            }
        }
        entries
    }

    fn rows(&self, cell: &Cell, measured: &Measured<'_>, peers: &[Box<dyn Peer>]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for &threads in &self.threads {
            let Some(ours) = measured.find(OURS, threads, 0) else { continue };
            anyhow::ensure!(ours.failure.is_none(), "ours at {threads} threads: {:?}", ours.failure);
            let again = measured.find(OURS, threads, 1);
            let mut questions = Vec::new();
            let metric = self.metric(&cell.stem, threads);
            if let Some(demand) = self.demand(&metric, None) {
                questions.push((question(cell, &metric, None, demand.must, demand.stretch)?, None));
            }
            for peer in peers.iter().filter(|peer| peer.name() != OURS && peer.supports(cell.op)) {
                let demand = self.demand(&metric, Some(peer.name()));
                let (must, stretch) = demand.map_or((None, None), |demand| (demand.must, demand.stretch));
                let question = question(cell, &metric, Some(peer.name().to_owned()), must, stretch)?;
                questions.push((question, measured.find(peer.name(), threads, 0)));
            }
            if threads > 1 {
                let (must, up_to) = self.scaling;
                let must = (threads <= up_to).then_some(must);
                questions.push((
                    question(cell, &metric, Some(format!("{OURS}_t1")), must, None)?,
                    measured.find(OURS, 1, 0),
                ));
            }
            let control = measured.find(CONTROL, threads, 0);
            let answers = questions.into_iter().filter_map(|(question, peer)| Row::answer(question, ours, again, peer));
            rows.extend(answers.map(|row| row.controlled_by(control)));
        }
        Ok(rows)
    }

    fn metric(&self, stem: &str, threads: usize) -> String {
        match (self.naming, threads) {
            (Naming::SuffixAboveOne, 1) => stem.to_owned(),
            _ => format!("{stem}_t{threads}"),
        }
    }

    fn demand(&self, metric: &str, peer: Option<&str>) -> Option<&Demand> {
        self.demands.iter().find(|demand| demand.metric == metric && demand.peer == peer)
    }
}

fn question(
    cell: &Cell,
    metric: &str,
    peer: Option<String>,
    must: Option<&str>,
    stretch: Option<&str>,
) -> Result<Question> {
    Ok(Question {
        metric: metric.to_owned(),
        case: cell.case.clone(),
        unit: "ns",
        better: Better::Lower,
        clock: Clock::Cpu,
        peer,
        must: must.map(str::parse::<Threshold>).transpose()?,
        stretch: stretch.map(str::parse::<Threshold>).transpose()?,
    })
}

/// One subject: a peer, an operation, a number of threads, and which of two independent passes.
struct Entry<'p> {
    peer: &'p dyn Peer,
    op: Op,
    threads: usize,
    pass: usize,
}

impl Entry<'_> {
    fn label(&self) -> String {
        let again = if self.pass > 0 { " again" } else { "" };
        format!("{} t{}{again}", self.peer.name(), self.threads)
    }

    /// Returns the subject; its first run finds how many operations fill a sample, later ones run that many.
    fn subject<'a>(&'a self, options: &Options, loss: &'a Shared<f64>) -> Subject<'a> {
        let sample_ns = options.pick(2e6, 8e6);
        let n_ops = Shared::new(None);
        let run = move || {
            let n = match n_ops.get() {
                Some(n) => n,
                None => {
                    let probe = self.peer.measure(self.op, self.threads, N_PROBE)?;
                    ((sample_ns / probe.cpu_ns.max(0.1)) as u64).clamp(N_PROBE, N_MAX)
                }
            };
            n_ops.set(Some(n));
            let measured = self.peer.measure(self.op, self.threads, n)?;
            loss.set(loss.get().max(measured.lost_share));
            Ok(measured.cpu_ns)
        };
        Subject { name: self.label(), run: Box::new(run) }
    }
}

/// Operations of the run that finds how many fill a sample.
const N_PROBE: u64 = 1000;
/// Operations of the longest sample.
const N_MAX: u64 = 4_000_000;

struct Measured<'a> {
    entries: &'a [Entry<'a>],
    series: &'a [Series],
}

impl<'a> Measured<'a> {
    fn find(&self, peer: &str, threads: usize, pass: usize) -> Option<&'a Series> {
        let is_it = |entry: &Entry<'_>| entry.peer.name() == peer && entry.threads == threads && entry.pass == pass;
        self.entries.iter().position(is_it).map(|idx| &self.series[idx])
    }
}

/// Prints what each peer measures, or why it is absent.
pub fn introduce(peers: &[Box<dyn Peer>]) {
    for peer in peers {
        match peer.availability() {
            Availability::Ok => println!("{}: {}", peer.name(), peer.measures()),
            Availability::Missing { why } => println!("{}: missing: {why}", peer.name()),
        }
    }
    if !peers.iter().any(|peer| peer.name() == OURS) {
        println!("{OURS}: missing: not entered among the peers, so there are no rows");
    }
    println!();
}

#[cfg(test)]
mod tests;
