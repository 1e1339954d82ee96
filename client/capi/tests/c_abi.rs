//! The C face as C and C++ programs see it: layout, every compiler, no agent, an agent, no library, sanitizers, tracepoints.
#![allow(clippy::unwrap_used)] // helpers of tests

mod c_abi {
    //! Parts of these tests.
    pub(crate) mod agent;
}

use backsight_client::ffi::ThreadBlock;
use backsight_core::ids::TraceId;
use backsight_core::record::{Kind, Level};
use backsight_ringbuf::abi::header;
use backsight_ringbuf::region::Shed;
use backsight_ringbuf::shm::View;
use backsight_ringbuf::writer::Writer;
use c_abi::agent::{Agent, Seen};
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");
/// What Debian calls what these tests need.
const PACKAGES: &str = "gcc g++ clang libclang-rt-dev binutils";
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");
/// Compiler, language, standard.
const COMPILERS: &[(&str, &str, &str)] =
    &[("gcc", "c", "c99"), ("g++", "c++", "c++17"), ("clang", "c", "c99"), ("clang++", "c++", "c++17")];

/// Returns the folder with the library, which is built here because a package's tests do not build its own cdylib.
fn library() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let build = || {
        let target = Path::new(FOLDER).join("lib");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "rustc",
            "-q",
            "-p",
            "backsight-capi",
            "--lib",
            "--crate-type",
            "cdylib,staticlib",
            "--target-dir",
        ]);
        run(cargo.arg(&target).current_dir(SOURCES));
        let folder = target.join("debug");
        let link = folder.join("libbacksight.so.0"); // what the loader looks for
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink("libbacksight.so", link).unwrap();
        folder
    };
    BUILT.get_or_init(build).clone()
}

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Fails the test where a program is not there, rather than let it pass without having tested anything.
#[track_caller]
fn need(program: &str) {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(
        found,
        "{program} is not installed: `cargo xtask test` installs what the tests need (apt-get install {PACKAGES})"
    );
}

/// Returns the compilers, all of which must be there.
#[track_caller]
fn compilers() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    COMPILERS.iter().for_each(|compiler| need(compiler.0));
    COMPILERS.iter()
}

/// Compiles `source` and returns the program.
fn compile(compiler: (&str, &str, &str), source: &str, name: &str, extra: &[&str]) -> PathBuf {
    let program = Path::new(FOLDER).join(format!("{name}-{}", compiler.0));
    let mut command = Command::new(compiler.0);
    command.args(["-x", compiler.1, &format!("-std={}", compiler.2), "-g", "-pthread"]);
    command.args(["-Wall", "-Wextra", "-Werror", "-pedantic"]);
    command.arg(format!("-I{SOURCES}/include")).arg(format!("{SOURCES}/tests/{source}"));
    command.args(["-x", "none"]).args(extra).arg("-o").arg(&program);
    run(&mut command);
    program
}

fn link_options() -> Vec<String> {
    let folder = library();
    let folder = folder.display();
    vec![format!("-L{folder}"), format!("-Wl,-rpath,{folder}"), "-Wl,--no-as-needed".into(), "-lbacksight".into()]
}

fn compile_linked(compiler: (&str, &str, &str), name: &str, extra: &[&str]) -> PathBuf {
    let link = link_options();
    let extra: Vec<&str> = extra.iter().copied().chain(link.iter().map(String::as_str)).collect();
    compile(compiler, "program.c", name, &extra)
}

/// Runs the program under an agent and checks what it left in the log.
fn check_recorded(program: &Path, name: &str) {
    let agent = Agent::start(Path::new(FOLDER), name);
    let output = run(Command::new(program).arg("agent").env("BACKSIGHT_SOCKET", &agent.socket));
    let records = agent.records();
    let of = |hi, lo, kind| -> Vec<&Seen> {
        records.iter().filter(|seen| seen.trace == TraceId::new(hi, lo) && seen.kind == kind).collect()
    };
    let raw_is = |hi, lo, text: &str| of(hi, lo, Kind::Raw).iter().any(|seen| seen.body == text.as_bytes());
    for name in ["c latency", "c slow"] {
        assert!(agent.has_name(name), "the name `{name}` is not there for the agent");
    }
    assert_eq!(of(1, 1, Kind::SpanStart).len(), 1, "{output}");
    assert_eq!(of(1, 1, Kind::SpanEnd).len(), 1);
    assert_eq!(of(1, 1, Kind::Attr).len(), 6);
    assert_eq!(of(1, 1, Kind::Event).len(), 3);
    assert_eq!((of(1, 1, Kind::Link).len(), of(1, 1, Kind::Status).len(), of(1, 1, Kind::Fired).len()), (1, 1, 1));
    assert!(of(1, 1, Kind::Event).iter().any(|seen| seen.body.ends_with(b"no funds")));
    let ends = |kind, n, text: &[u8]| {
        assert!(of(1, 1, kind).len() == n && of(1, 1, kind).iter().any(|seen| seen.body.ends_with(text)))
    };
    ends(Kind::Named, 2, b"named");
    ends(Kind::Named, 2, b"always");
    ends(Kind::Exception, 1, b"a\xffb");
    ends(Kind::Rename, 1, b"");
    assert!(raw_is(1, 1, "x") && raw_is(1, 1, &"r".repeat(50)) && raw_is(1, 1, "between"));
    let bytes: usize = of(1, 1, Kind::Raw).iter().map(|seen| seen.body.len()).sum();
    assert_eq!(bytes, 32 + 1 + 100_000 + 50 + 7, "fragments make up the whole");
    let crumbs: Vec<u64> =
        of(3, 1, Kind::Crumb).iter().map(|seen| u64::from_le_bytes(seen.body[..8].try_into().unwrap())).collect();
    let (out, to, before) = (3 << 32, 2 << 32, 4 << 32);
    assert_eq!(crumbs[0], 3 | before, "the request came through agent 3 before its last hop");
    assert_eq!(crumbs[1..4], [out, 9 | to, 9 | out], "called, answered by agent 9, called there again");
    assert_eq!(crumbs[4..], [9 | out, to], "once more, and that never left");
    for thread in [1, 2] {
        let seen = of(2, thread, Kind::Raw);
        let mut numbers: Vec<i32> =
            seen.iter().map(|seen| i32::from_ne_bytes(seen.body[..].try_into().unwrap())).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1000), "thread {thread} recorded each number once");
    }
    let ticks = of(4, 4, Kind::Raw).iter().filter(|seen| seen.body == b"from the handler").count();
    assert!(ticks > 0, "handlers that interrupt no write record");
    assert!(output.contains("no_chunk=0"), "the test fits the chunks: {output}");
    // Each round wrote after its jump, inlined and through the library.
    let rounds = of(5, 5, Kind::Raw).iter().filter(|seen| seen.body == b"after the jump").count();
    assert_eq!((rounds, of(5, 5, Kind::Attr).len()), (21, 21));
    assert!(raw_is(5, 5, "the end"));
    assert!(raw_is(6, 6, "parent before") && raw_is(6, 6, "parent after") && raw_is(6, 7, "child"));
    assert_eq!(of(6, 7, Kind::Event).len(), 1);
    assert!(!records.iter().any(|seen| seen.body.starts_with(b"unseen")));
}

fn check_without_agent(program: &Path) {
    let output = run(Command::new(program).arg("none").env("BACKSIGHT_SOCKET", "/nonexistent/agent.sock"));
    assert!(output.starts_with("missing=3 ") || output.starts_with("missing=9 "), "{output}");
}

/// The header's layout is the library's.
#[test]
fn the_header_has_the_library_s_layout() {
    let program = compile(COMPILERS[0], "layout.c", "layout", &[]);
    let output = run(&mut Command::new(program));
    let of_header = |name: &str| -> usize {
        let line = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    };
    assert_eq!(of_header("block.busy"), offset_of!(ThreadBlock, busy));
    assert_eq!(of_header("block.clock"), offset_of!(ThreadBlock, clock));
    assert_eq!(of_header("block.epoch"), offset_of!(ThreadBlock, epoch));
    let writer = offset_of!(ThreadBlock, writer);
    for (field, offset) in Writer::<View>::LAYOUT {
        let name = if *field == "store" { "base" } else { field };
        assert_eq!(of_header(&format!("block.{name}")), writer + offset, "{field}");
    }
    assert_eq!(of_header("block.region_bytes"), of_header("block.base") + 8);
    use backsight_client::Context;
    assert_eq!(of_header("sizeof.context"), size_of::<Context>());
    assert_eq!(of_header("bks_context.span"), offset_of!(Context, span));
    assert_eq!(of_header("bks_context.parent_span"), offset_of!(Context, parent_span));
    assert_eq!(of_header("bks_context.from_agent"), offset_of!(Context, carried.from_agent));
    assert_eq!(of_header("bks_context.flags"), offset_of!(Context, carried.flags));
    assert_eq!(of_header("bks_context.api"), offset_of!(Context, carried.api));
    assert_eq!(of_header("bks_context.older_agents"), offset_of!(Context, carried.older_agents));
    assert_eq!(of_header("bks_context.triggers"), offset_of!(Context, carried.triggers));
    assert_eq!(of_header("bks_context.beyond"), offset_of!(Context, carried.beyond));
    assert_eq!(of_header("sizeof.call"), size_of::<backsight_client::Call>());
    assert_eq!(of_header("sizeof.connection"), size_of::<backsight_client::Connection>());
    assert_eq!(of_header("word.detail_thresholds") as u64 + 8, header::DETAIL_THRESHOLD_1);
    assert_eq!(
        [2, 3].map(|n| header::DETAIL_THRESHOLD_1 + 8 * (n - 1)),
        [header::DETAIL_THRESHOLD_2, header::DETAIL_THRESHOLD_3]
    );
    let levels = ["always", "normal", "debug", "verbose"].map(|name| of_header(&format!("level.{name}")));
    assert_eq!(levels, Level::ALL.map(|level| level as usize));
    assert_eq!(of_header("version"), 1 << 16 | 6);
}

#[test]
fn programs_of_every_compiler_record_under_an_agent_and_run_without_one() {
    for compiler in compilers() {
        for level in ["-O0", "-O2"] {
            let program = compile_linked(*compiler, &format!("program{level}"), &[level]);
            check_without_agent(&program);
            check_recorded(&program, &format!("agent{level}-{}", compiler.0));
        }
    }
}

/// Threads end, and the process exits, in code of whatever recorded: a plugin stays for that, though it was linked without `-z nodelete`.
#[test]
fn a_plugin_with_a_copy_of_its_own_is_not_unloaded_under_its_threads() {
    let archive = library().join("libbacksight.a");
    let archive = archive.to_str().unwrap();
    for compiler in compilers() {
        let shared = ["-shared", "-fPIC", "-O2", archive, "-lm", "-ldl"];
        let plugin = compile(*compiler, "plugin.c", "plugin", &shared);
        let host = compile(*compiler, "plugin.c", "plugin-host", &["-DHOST", "-ldl"]);
        let agent = Agent::start(Path::new(FOLDER), &format!("plugin-{}", compiler.0));
        run(Command::new(host).arg(plugin).env("BACKSIGHT_SOCKET", &agent.socket));
        let records = agent.records();
        assert!(records.iter().any(|seen| seen.body == b"from the plugin"), "{records:?}");
    }
}

/// The header and the library differ in their major version: the inlined part has no block, and every call is the library's.
#[test]
fn a_program_of_another_major_version_records_through_the_library() {
    let header = std::fs::read_to_string(format!("{SOURCES}/include/backsight.h")).unwrap();
    let (own, other) = ("#define BKS_ABI_VERSION 0x0001", "#define BKS_ABI_VERSION 0x0002");
    assert_eq!(header.matches(own).count(), 1);
    let folder = Path::new(FOLDER).join("other-major");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("backsight.h"), header.replace(own, other)).unwrap();
    let link = link_options();
    let include = format!("-iquote{}", folder.display()); // searched before `-I`
    for compiler in compilers() {
        let extra: Vec<&str> = [include.as_str(), "-O2"].into_iter().chain(link.iter().map(String::as_str)).collect();
        let program = compile(*compiler, "other_major.c", "other-major", &extra);
        let agent = Agent::start(Path::new(FOLDER), &format!("other-major-{}", compiler.0));
        run(Command::new(program).env("BACKSIGHT_SOCKET", &agent.socket));
        let records = agent.records();
        let bodies = |kind| records.iter().filter(move |seen| seen.kind == kind).map(|seen| seen.body.as_slice());
        assert!(bodies(Kind::Raw).eq([b"through the library".as_slice()]), "{records:?}");
        assert!(bodies(Kind::Event).all(|body| body.ends_with(b"no funds")) && bodies(Kind::Event).count() == 1);
        assert_eq!((bodies(Kind::SpanStart).count(), bodies(Kind::SpanEnd).count()), (1, 1));
    }
}

/// The inlined part and the library write the same levels, and leave the same ones out.
#[test]
fn programs_of_every_compiler_say_levels_and_lose_what_is_shed() {
    let link = link_options();
    for compiler in compilers() {
        let extra: Vec<&str> = ["-O2"].into_iter().chain(link.iter().map(String::as_str)).collect();
        let program = compile(*compiler, "levels.c", "levels", &extra);
        for n_lost in 0..=3 {
            let detail = [1, 2, 3].map(|level| if level > 3 - n_lost { u64::MAX } else { 0 });
            let name = format!("levels-{n_lost}-{}", compiler.0);
            let agent = Agent::start_shedding(Path::new(FOLDER), &name, Shed { detail, ..Shed::default() });
            let output = run(Command::new(&program).env("BACKSIGHT_SOCKET", &agent.socket));
            check_levels(&agent, 3 - n_lost as u8, &output);
        }
    }
}

/// Checks what `levels.c` left where levels above `highest` are shed: each record says its level by its bytes, too.
fn check_levels(agent: &Agent, highest: u8, output: &str) {
    let records = agent.records();
    let of = |kind| records.iter().filter(move |seen| seen.kind == kind);
    let levels: Vec<u8> = (0..=highest).chain((highest >= 1).then_some(1)).collect(); // a level that does not exist is normal
    let sorted = |kind| {
        let mut found: Vec<u8> = of(kind).map(|seen| seen.level as u8).collect();
        found.sort_unstable();
        found
    };
    let twice = |levels: &[u8]| levels.iter().flat_map(|level| [*level; 2]).collect::<Vec<_>>();
    let mut wanted = levels.clone();
    wanted.sort_unstable();
    assert_eq!(sorted(Kind::Event), twice(&wanted), "inlined and through the library");
    let n_reserved = usize::from(highest >= 1);
    assert_eq!(of(Kind::Raw).count(), 2 * levels.len() + n_reserved, "{records:?}");
    for seen in of(Kind::Raw) {
        assert_eq!(seen.body, [b'0' + seen.level as u8]);
    }
    assert_eq!(of(Kind::Attr).count(), 5 * (usize::from(highest) + 1));
    assert!(output.contains(&format!("reserved={n_reserved}")), "{output}");
    let wanted = (highest < 3).then(|| Level::from_code(highest + 1));
    assert_eq!(agent.left_out(), [wanted]);
}

/// Headers of a mebibyte and malformed ones cost no memory, and those that have no trace begin one.
#[test]
fn headers_are_read_and_written_without_an_allocation() {
    let link = link_options();
    for compiler in compilers() {
        let extra: Vec<&str> = ["-O2"].into_iter().chain(link.iter().map(String::as_str)).collect();
        let program = compile(*compiler, "headers.c", "headers", &extra);
        let output = run(Command::new(program).env("BACKSIGHT_SOCKET", "/nonexistent/agent.sock"));
        assert_eq!(output, "traced=4 allocations=0\n", "{}", compiler.0);
    }
}

#[test]
fn a_program_without_the_library_runs() {
    for compiler in compilers() {
        check_without_agent(&compile(*compiler, "program.c", "unlinked", &["-O1"]));
    }
}

#[test]
fn a_program_with_strong_references_links_as_needed() {
    let link = link_options();
    let extra: Vec<&str> =
        ["-DBKS_STRONG", "-Wl,--as-needed"].into_iter().chain(link.iter().map(String::as_str)).collect();
    check_without_agent(&compile(COMPILERS[0], "program.c", "strong", &extra));
}

#[test]
fn sanitizers_find_nothing() {
    for compiler in compilers().filter(|compiler| compiler.1 == "c") {
        let options = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
        let program = compile_linked(*compiler, "sanitized", &options);
        check_without_agent(&program);
        check_recorded(&program, &format!("sanitized-{}", compiler.0));
    }
}

/// Named tracepoints are SDT notes whose place holds the five-byte nop.
#[test]
fn tracepoints_are_sdt_notes_on_a_five_byte_nop() {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the nop is that of x86-64");
        return;
    }
    ["readelf", "objdump"].into_iter().for_each(need);
    for compiler in compilers() {
        let program = compile_linked(*compiler, "tracepoints", &["-O2", "-no-pie"]);
        let notes = run(Command::new("readelf").arg("-n").arg(&program));
        for name in ["refused", "pay__start", "pay__end"] {
            assert!(notes.contains(&format!("Name: {name}")), "{name} in {notes}");
        }
        assert!(notes.contains("Provider: shop"), "{notes}");
        let code = run(Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(&program));
        for line in notes.lines().filter_map(|line| line.trim().strip_prefix("Location: 0x")) {
            let address = line.split(',').next().unwrap().trim_start_matches('0');
            let place = code.lines().find(|line| line.trim_start().starts_with(&format!("{address}:")));
            assert!(place.is_some_and(|place| place.contains("nopl   0x0(%rax,%rax,1)")), "{address}: {place:?}");
        }
    }
}
