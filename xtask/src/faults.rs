//! `cargo xtask faults`: each case of bad input and of faults is shown by a test, and each such test fails where what it shows is taken away.
//!
//! Called by people, and every night by whoever has the time. The cases stand in `tests/faults.toml`, each with the smallest change of the
//! source that takes its mechanism away. The sources that are changed are a copy under the target folder; `tidy` checks the table.

mod checkout;
mod outcome;
pub(crate) mod table;

use crate::process;
use crate::setup;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use checkout::Checkout;
use outcome::Outcome;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use table::{Case, Table};

/// What `cargo xtask faults` is asked to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only cases in whose row, name, test or file this stands
    #[arg(long, value_name = "FILTER")]
    only: Option<String>,
}

/// Runs each case's test as it is, when it must pass, and without the mechanism, when it must fail.
///
/// # Errors
/// Names the cases whose test failed as it is, passed without the mechanism, or failed otherwise than the table says.
pub(crate) fn faults(workspace: &Workspace, options: &Options) -> Result<()> {
    let table = Table::read(workspace)?;
    let is_chosen = |case: &&Case| options.only.as_deref().is_none_or(|filter| case.matches(filter));
    let mut cases: Vec<&Case> = table.cases.iter().filter(is_chosen).collect();
    if cases.is_empty() {
        bail!("no case of {} matches", table::FILE);
    }
    // What is built for one is there for the next.
    cases.sort_by_key(|case| (&case.package, &case.target, &case.file));
    setup::system_packages(setup::FOR_TESTS)?;
    setup::nextest(workspace)?;
    let checkout = Checkout::renew(workspace)?;
    let tests = Tests { workspace, directory: checkout.root(), target: workspace.target.join("faults/build") };
    let mut verdicts = Vec::new();
    for group in cases.chunk_by(|a, b| a.package == b.package) {
        let mut whole = BTreeMap::new();
        for case in group {
            if let Entry::Vacant(outcome) = whole.entry((&case.target, &case.test)) {
                println!("{} {}: as it is", case.package, case.test);
                outcome.insert(tests.run(case)?);
            }
        }
        for case in group {
            let start = Instant::now();
            print!("[{}/{}] {}: {}: ", verdicts.len() + 1, cases.len(), case.row, case.case);
            let _ = std::io::stdout().flush(); // it may take minutes
            let verdict = match &whole[&(&case.target, &case.test)] {
                Outcome::Passed => checkout.changed(case, || tests.run(case))?.verdict(case),
                outcome => Err(format!("as it is, the test {outcome}")),
            };
            let seconds = start.elapsed().as_secs_f64();
            println!("{} in {seconds:.1} s", verdict.as_ref().unwrap_or_else(|why| why));
            verdicts.push((*case, verdict, seconds));
        }
    }
    conclude(&verdicts)
}

/// Where tests run.
struct Tests<'w> {
    workspace: &'w Workspace,
    directory: &'w Path,
    target: std::path::PathBuf,
}

impl Tests<'_> {
    /// Builds what a case's test needs, and runs it.
    fn run(&self, case: &Case) -> Result<Outcome> {
        if !case.bins.is_empty() {
            let mut build = self.cargo(&["build"]);
            for bin in &case.bins {
                let of = |package: &&crate::workspace::Package| package.bins().contains(&bin.as_str());
                let package = self.workspace.packages.iter().find(of);
                let package = package.with_context(|| format!("no package has a binary `{bin}`"))?;
                build.args(["--package", &package.name, "--bin", bin]);
            }
            let built = build.output().context("start cargo")?;
            if !built.status.success() {
                return Ok(Outcome::NotBuilt(String::from_utf8_lossy(&built.stderr).into_owned()));
            }
        }
        // The profile in which the binaries are built: whatever changes is compiled once, and soon.
        let mut run =
            self.cargo(&["nextest", "run", "--cargo-profile", "dev", "--profile", "faults", "--color", "never"]);
        run.args(["--package", &case.package]).args(case.target_arguments());
        run.args(["-E", &format!("test(/(^|::){}$/)", case.test)]);
        let output = run.output().context("start cargo-nextest")?;
        Ok(Outcome::of(output.status.code(), &String::from_utf8_lossy(&output.stderr)))
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = process::cargo(self.directory);
        command.env("CARGO_TARGET_DIR", &self.target).args(arguments);
        // That of this package is another one's in the copy.
        command.env_remove("CARGO_MANIFEST_DIR");
        command
    }
}

/// Prints what became of every case.
fn conclude(verdicts: &[(&Case, Result<String, String>, f64)]) -> Result<()> {
    println!("\n{:<10} {:<48} {:>8}", "row", "case", "seconds");
    for (case, verdict, seconds) in verdicts {
        let outcome = verdict.as_ref().map_or_else(|why| format!("WRONG: {why}"), Clone::clone);
        println!("{:<10} {:<48} {seconds:>8.1}  {outcome}", case.row, case.case);
    }
    let n_wrong = verdicts.iter().filter(|(_, verdict, _)| verdict.is_err()).count();
    println!("{} cases, {} failed without their mechanism", verdicts.len(), verdicts.len() - n_wrong);
    if n_wrong > 0 {
        bail!("{n_wrong} of {} cases are not shown by their tests", verdicts.len());
    }
    Ok(())
}
