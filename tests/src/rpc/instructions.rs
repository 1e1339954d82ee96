//! How many instructions a request costs the services, counted by callgrind: what no other work on the machine can change.
//!
//! Called by the bench. Instructions of programs alone are counted, not the kernel's, and a read of the processor's counter is one of them, however long it
//! takes.

use super::{
    Tracer,
    bricks::{self, Length, Run},
    cases::{Case, Faults, Load},
    hosts::Hosts,
};
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A count: the same requests under any tracer.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The agents, for those who record.
    pub hosts: &'a Hosts,
    /// The services, and how many requests are under way at a time.
    pub case: Case,
    /// Requests of the shorter and of the longer run, whose difference is what requests cost: starting and connecting falls away.
    pub n_requests: [u64; 2],
    /// Where callgrind's files stay, for `callgrind_annotate`.
    pub keep: Option<&'a Path>,
}

impl Counted<'_> {
    /// Returns the load in words, as it stands in a case's name.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}, {} under way", self.case.topology, self.case.concurrency)
    }

    /// Returns what a request costs all services together under `tracer`, in instructions; those of one `round` are the same for all tracers.
    ///
    /// # Errors
    /// The services cannot be run under callgrind.
    pub fn per_request(&self, tracer: Tracer, round: u64) -> Result<f64> {
        let [few, many] = self.n_requests;
        // The hosts remember the traces of earlier runs: no two have the same seed.
        let [short, long] = [(few, 2 * round), (many, 2 * round + 1)].map(|(n, seed)| self.run(tracer, n, seed));
        Ok((long? as f64 - short? as f64) / (many - few) as f64)
    }

    /// Returns the instructions of all services in one run of `n` requests.
    fn run(&self, tracer: Tracer, n: u64, seed: u64) -> Result<u64> {
        let folder = tempfile::tempdir().context("make a folder for callgrind's files")?;
        let place = match self.keep {
            Some(keep) => keep.join(format!("{}-{n}-{seed}", tracer.name())),
            None => folder.path().to_owned(),
        };
        std::fs::create_dir_all(&place).with_context(|| format!("make {}", place.display()))?;
        let place = place.canonicalize().with_context(|| format!("find {}", place.display()))?;
        ensure!(!place.to_string_lossy().contains(char::is_whitespace), "{} has spaces in it", place.display());
        let sockets = if tracer == Tracer::Backsight { self.hosts.sockets() } else { Vec::new() };
        let report = bricks::run(&Run {
            topology: self.case.topology,
            tracer,
            load: Load::Highest { concurrency: self.case.concurrency },
            length: Length::Requests(n),
            under: Some(&format!("{VALGRIND} -q --tool=callgrind --callgrind-out-file={}/%p{ENDING}", place.display())),
            faults: Faults::RARE,
            seed,
            agents: &sockets,
            sink: None,
            truth: None,
        })?;
        // A few carry an error; where others fail, what is counted is not what requests cost.
        ensure!(report.answered > n / 20 * 19, "only {} of {n} requests were answered well", report.answered);
        self.hosts.settle()?;
        let files = files_in(&place)?;
        ensure!(!files.is_empty(), "callgrind left no file in {}", place.display());
        files.iter().map(|file| instructions_in(file)).sum()
    }
}

const VALGRIND: &str = "valgrind";
const ENDING: &str = ".callgrind";

/// Says whether there is a callgrind.
///
/// # Errors
/// There is none; the message says what to install.
pub fn find_callgrind() -> Result<()> {
    let asked = Command::new(VALGRIND).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match asked {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("callgrind counts instructions and is missing; run `sudo apt-get install --yes {VALGRIND}`"),
    }
}

/// Returns the files of all processes, and of none else.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("look into {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let paths = paths.with_context(|| format!("look into {}", folder.display()))?;
    Ok(paths.into_iter().filter(|path| path.to_string_lossy().ends_with(ENDING)).collect())
}

fn instructions_in(file: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    total(&text).with_context(|| format!("{} does not say how many instructions it counted", file.display()))
}

/// Returns the total of a profile of callgrind.
fn total(profile: &str) -> Option<u64> {
    let number =
        |line: &str| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: "))?.trim().parse().ok();
    profile.lines().find_map(number)
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn total_of_a_profile_is_found_wherever_it_stands() {
        assert_eq!(total("events: Ir\nfn=(1) main\n16 400\n\ntotals: 12345\n"), Some(12_345));
        assert_eq!(total("version: 1\nsummary: 678\nevents: Ir\n"), Some(678));
        assert_eq!(total("events: Ir\n16 400\n"), None);
    }
}
