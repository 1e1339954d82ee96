//! Sets up what the tasks need from outside of cargo: `cargo-nextest` and packages of the system.
//!
//! Called by `demo`, `test`, `bench` and `fuzz` before they start. It installs with apt, and only as root; anyone else is told the command.

use crate::process;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The nextest that `cargo xtask test` is known to work with; any 0.9 that is there already is taken as it is.
const NEXTEST_VERSION: &str = "0.9.143";

/// How one sees that a package is there, whoever installed it.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    /// A program of this name is on `PATH`.
    Program(&'static str),
    /// A header lies under `/usr/include` or `/usr/local/include`.
    Header(&'static str),
    /// The compiler finds a library of this name in its own folders.
    ClangRuntime(&'static str),
}

/// A package of the system.
#[derive(Clone, Copy)]
pub(crate) struct SystemPackage {
    /// Debian's name for it; `{clang}` stands for the major version of clang.
    name: &'static str,
    proof: Proof,
}

/// The compilers of C and C++ that the ABI tests use, their sanitizers, what reads the programs they make, and what checks the unit.
pub(crate) const FOR_TESTS: &[SystemPackage] = &[
    SystemPackage { name: "gcc", proof: Proof::Program("gcc") },
    SystemPackage { name: "g++", proof: Proof::Program("g++") },
    SystemPackage { name: "clang", proof: Proof::Program("clang") },
    SystemPackage { name: "clang", proof: Proof::Program("clang++") },
    SystemPackage { name: "libclang-rt-{clang}-dev", proof: Proof::ClangRuntime("libclang_rt.asan-x86_64.a") },
    SystemPackage { name: "binutils", proof: Proof::Program("readelf") },
    SystemPackage { name: "binutils", proof: Proof::Program("objdump") },
    SystemPackage { name: "systemd", proof: Proof::Program("systemd-analyze") },
];

/// The C++ compiler that builds libFuzzer.
pub(crate) const FOR_FUZZING: &[SystemPackage] = &[SystemPackage { name: "g++", proof: Proof::Program("c++") }];

/// The peers that benchmarks compare with, so far as Debian packages them, what reads their traces, and what counts instructions.
pub(crate) const FOR_BENCHES: &[SystemPackage] = &[
    SystemPackage { name: "valgrind", proof: Proof::Program("valgrind") },
    SystemPackage { name: "lttng-tools", proof: Proof::Program("lttng") },
    SystemPackage { name: "liblttng-ust-dev", proof: Proof::Header("lttng/tracepoint.h") },
    SystemPackage { name: "babeltrace2", proof: Proof::Program("babeltrace2") },
];

/// The program that makes network namespaces, bridges and the links between them.
pub(crate) const FOR_DEMO: &[SystemPackage] = &[SystemPackage { name: "iproute2", proof: Proof::Program("ip") }];

/// Installs those of `packages` that are missing.
///
/// # Errors
/// Something is missing, and this user cannot install it or apt refuses; the message holds the command to run.
pub(crate) fn system_packages(packages: &[SystemPackage]) -> Result<()> {
    // One after another: the name of a later package may depend on the version of an earlier one.
    for package in packages {
        if is_there(package.proof) {
            continue;
        }
        let name = package.name.replace("{clang}", &clang_major().unwrap_or_else(|| "14".to_owned()));
        let missing: Vec<String> =
            packages.iter().filter(|p| !is_there(p.proof)).map(|p| p.name.replace("{clang}", "14")).collect();
        if !is_root() {
            bail!("missing on this machine; run `sudo apt-get install --yes {}`", missing.join(" "));
        }
        install(&name)?;
        if !is_there(package.proof) {
            bail!("`{name}` is installed, yet what it should bring is not found");
        }
    }
    Ok(())
}

/// Installs cargo-nextest where there is none.
///
/// # Errors
/// It cannot be built or downloaded.
pub(crate) fn nextest(workspace: &Workspace) -> Result<()> {
    let mut probe = process::cargo(&workspace.root);
    if succeeds(probe.args(["nextest", "--version"])) {
        return Ok(());
    }
    println!("cargo-nextest is missing; building it takes some minutes, once");
    let mut install = process::cargo(&workspace.root);
    process::run(install.args(["install", "--locked", "cargo-nextest", "--version", NEXTEST_VERSION]))
}

fn install(name: &str) -> Result<()> {
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        // Another installation may be running; wait for it rather than fail.
        command.args(["-o", "DPkg::Lock::Timeout=300", "--yes", "--no-install-recommends"]);
        command
    };
    // A fresh machine has no package lists yet, so a first refusal says little.
    if process::run(apt().args(["install", name])).is_ok() {
        return Ok(());
    }
    process::run(apt().arg("update"))?;
    process::run(apt().args(["install", name]))
}

fn is_there(proof: Proof) -> bool {
    match proof {
        Proof::Program(name) => on_path(name).is_some(),
        Proof::Header(name) => ["/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/local/include"]
            .iter()
            .any(|folder| Path::new(folder).join(name).exists()),
        // clang prints the bare name back where it finds no such file.
        Proof::ClangRuntime(name) => process::output(Command::new("clang").arg(format!("-print-file-name={name}")))
            .is_ok_and(|path| Path::new(path.trim()).is_absolute()),
    }
}

/// Returns the path of the program called `name`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn clang_major() -> Option<String> {
    let version = process::output(Command::new("clang").arg("-dumpversion")).ok()?;
    version.split('.').next().map(str::to_owned)
}

/// Returns whether this process may set up networks and install packages.
pub(crate) fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
