//! The rows of a benchmark and its JSON file, as DESIGN section 4 lays them out.
//!
//! Called by the bins with the medians of a run. It writes one file, by rename, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Serialize;

use super::{
    host,
    runner::Series,
    stats::{self, BOOTSTRAP_SEED, Interval, ratio_interval},
    verdict::{Clock, Numbers, Threshold, Verdict, judge},
};

/// The environment variable that names another folder for the JSON files than `target/bench`.
pub const DIR_ENV: &str = "BACKSIGHT_BENCH_DIR";

/// Which direction of a value is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Costs: less is better.
    Lower,
    /// Yields: more is better.
    Higher,
}

/// What one row is about and what it must reach, before anything is measured.
#[derive(Clone, Debug)]
pub struct Question {
    /// The metric, named by the spec, with its unit last.
    pub metric: String,
    /// The case, in words.
    pub case: String,
    /// The unit of the value.
    pub unit: &'static str,
    /// Which direction is good.
    pub better: Better,
    /// How the value is measured.
    pub clock: Clock,
    /// The peer's name, if the row compares.
    pub peer: Option<String>,
    /// The threshold to reach.
    pub must: Option<Threshold>,
    /// The threshold to hope for.
    pub stretch: Option<Threshold>,
}

/// One row of the results, keyed by (metric, case, peer).
///
/// # Shape
/// `ratio` is ours over the peer's, `runs`, `min` and `max` are of ours. Absent numbers are `null`; `aa_low` and `aa_high` are there where
/// rounds were compared in pairs.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "DESIGN section 4 documents the fields by name")]
pub struct Row {
    pub metric: String,
    pub case: String,
    pub value: f64,
    pub unit: &'static str,
    pub better: Better,
    pub peer: Option<String>,
    pub peer_value: Option<f64>,
    pub ratio: Option<f64>,
    pub aa_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aa_low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aa_high: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub must: Option<Threshold>,
    pub stretch: Option<Threshold>,
    pub verdict: Verdict,
    pub runs: usize,
    pub min: f64,
    pub max: f64,
}

impl Row {
    /// Answers `question` from the rounds of ours, of ours measured again, and of the peer.
    ///
    /// Returns `None` when ours was not measured. A peer that the question names and that was not measured makes the row `no-peer`.
    #[must_use]
    pub fn answer(question: Question, ours: &Series, again: Option<&Series>, peer: Option<&Series>) -> Option<Self> {
        let value = ours.median()?;
        let peer_value = peer.and_then(Series::median);
        let ratio = peer_value.filter(|peer_value| *peer_value != 0.0).map(|peer_value| value / peer_value);
        let again_value = again.and_then(Series::median).filter(|_| value != 0.0);
        let aa_ratio = again_value.map(|again_value| again_value / value);
        let interval = peer
            .and_then(|peer| ratio_interval(&ours.samples, &peer.samples, BOOTSTRAP_SEED))
            .filter(|_| ratio.is_some());
        Some(Self::judged(
            question,
            ours,
            Comparison { value, peer_value, ratio, interval, aa_ratio, aa_interval: None },
        ))
    }

    /// Answers `question` by the median of the ratios of the rounds, where `same` are two series of one set-up from the same rounds.
    ///
    /// # Shape
    /// Noise that lasts longer than a round falls on both sides of a pair and cancels. The A/A spread that may make a wall-clock row
    /// inconclusive is the farther end of the bootstrap interval of the A/A ratio: its median alone may be close to 1 by chance.
    /// Returns `None` when ours was not measured.
    #[must_use]
    pub fn paired(
        question: Question,
        ours: &Series,
        peer: Option<&Series>,
        same: Option<(&Series, &Series)>,
    ) -> Option<Self> {
        let ratios = |ours: &Series, peer: &Series| stats::round_ratios(&ours.samples, &peer.samples);
        let interval = |ratios: &Vec<f64>| stats::median_interval(ratios, BOOTSTRAP_SEED);
        let to_peer = peer.and_then(|peer| ratios(ours, peer));
        let to_itself = same.and_then(|(one, again)| ratios(again, one));
        let comparison = Comparison {
            value: ours.median()?,
            peer_value: peer.and_then(Series::median),
            ratio: to_peer.as_deref().and_then(stats::median),
            interval: to_peer.as_ref().and_then(interval),
            aa_ratio: to_itself.as_deref().and_then(stats::median),
            aa_interval: to_itself.as_ref().and_then(interval),
        };
        Some(Self::judged(question, ours, comparison))
    }

    fn judged(question: Question, ours: &Series, comparison: Comparison) -> Self {
        let Comparison { value, peer_value, ratio, interval, aa_ratio, aa_interval } = comparison;
        let lacks_peer = question.peer.is_some() && peer_value.is_none();
        let aa_ratio_judged = aa_interval.map_or(aa_ratio, |interval| Some(interval.farther_from_one()));
        let verdict = match lacks_peer {
            true => Verdict::NoPeer,
            false => judge(question.must.as_ref(), Numbers { value, ratio, aa_ratio: aa_ratio_judged }, question.clock),
        };
        Self {
            metric: question.metric,
            case: question.case,
            value,
            unit: question.unit,
            better: question.better,
            peer: question.peer,
            peer_value,
            ratio,
            aa_ratio,
            aa_low: aa_interval.map(|interval| interval.low),
            aa_high: aa_interval.map(|interval| interval.high),
            ci_low: interval.map(|interval| interval.low),
            ci_high: interval.map(|interval| interval.high),
            must: question.must,
            stretch: question.stretch,
            verdict,
            runs: ours.samples.len(),
            min: ours.min(),
            max: ours.max(),
        }
    }

    /// Returns the row as `control` leaves it, code that is not ours, measured in the same rounds: inconclusive where that shows two
    /// modes of the machine which are further apart than an absolute bound is from the value.
    #[must_use]
    pub fn controlled_by(mut self, control: Option<&Series>) -> Self {
        let modes = control.and_then(|control| stats::modes_share(&control.samples));
        let numbers = Numbers { value: self.value, ratio: self.ratio, aa_ratio: self.aa_ratio };
        let is_excused = |(must, modes): (Threshold, f64)| must.is_within_modes(numbers, modes);
        if matches!(self.verdict, Verdict::Pass | Verdict::Miss) && self.must.zip(modes).is_some_and(is_excused) {
            self.verdict = Verdict::Inconclusive;
        }
        self
    }

    /// Returns whether the row has a stretch goal and reaches it.
    #[must_use]
    pub fn reaches_stretch(&self) -> bool {
        let numbers = Numbers { value: self.value, ratio: self.ratio, aa_ratio: self.aa_ratio };
        self.stretch.is_some_and(|stretch| stretch.reached(numbers) == Some(true))
    }
}

/// The numbers of a row before its verdict.
struct Comparison {
    value: f64,
    peer_value: Option<f64>,
    ratio: Option<f64>,
    interval: Option<Interval>,
    aa_ratio: Option<f64>,
    aa_interval: Option<Interval>,
}

/// The results of one benchmark: what its JSON file holds.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The benchmark, in kebab-case.
    pub name: &'static str,
    /// The commit that was measured; `+dirty` when files differed from it.
    pub commit: String,
    /// The machine, in one line.
    pub machine: String,
    /// The load averages over 1, 5 and 15 minutes when the run began.
    pub load_average: [f64; 3],
    /// Whether it was a quick run.
    pub quick: bool,
    /// The rows.
    pub results: Vec<Row>,
}

impl Report {
    /// Starts the report of benchmark `name`, with what the host says about itself.
    #[must_use]
    pub fn new(name: &'static str, quick: bool) -> Self {
        Self {
            name,
            commit: host::commit(&workspace_root()),
            machine: host::machine(),
            load_average: host::load_average(),
            quick,
            results: Vec::new(),
        }
    }

    /// Adds a row about ours alone: the median of `samples`, better when lower, against the threshold `must`.
    ///
    /// # Errors
    /// `must` is not a threshold, or there is no sample.
    pub fn push_value(
        &mut self,
        metric: &str,
        case: &str,
        unit: &'static str,
        samples: &[f64],
        must: Option<&str>,
    ) -> anyhow::Result<()> {
        let question = Question {
            metric: metric.to_owned(),
            case: case.to_owned(),
            unit,
            better: Better::Lower,
            clock: Clock::Cpu,
            peer: None,
            must: must.map(str::parse).transpose()?,
            stretch: None,
        };
        let series = Series { name: metric.to_owned(), samples: samples.to_vec(), failure: None };
        let row = Row::answer(question, &series, None, None);
        self.results.push(row.with_context(|| format!("no sample of {metric}"))?);
        Ok(())
    }

    /// Writes the JSON to `$BACKSIGHT_BENCH_DIR`, or `target/bench` of the workspace, and returns its path.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write(&self) -> anyhow::Result<PathBuf> {
        let dir = std::env::var_os(DIR_ENV).map_or_else(|| workspace_root().join("target/bench"), PathBuf::from);
        self.write_to(&dir)
    }

    /// Writes the JSON to `dir` so that a reader sees the old file or the new one, never a part.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write_to(&self, dir: &Path) -> anyhow::Result<PathBuf> {
        let path = dir.join(format!("{}.json", self.name));
        let unfinished = dir.join(format!(".{}.json.{}", self.name, std::process::id()));
        let mut json = serde_json::to_vec_pretty(self).context("encoding the results")?;
        json.push(b'\n');
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        fs::write(&unfinished, json).with_context(|| format!("writing {}", unfinished.display()))?;
        fs::rename(&unfinished, &path).with_context(|| format!("renaming to {}", path.display()))?;
        Ok(path)
    }
}

fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests;
