//! Claims about the command line: what makes no sense is refused before anyone is asked.

use super::Args;
use super::value::{CollectorUrl, duration};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::time::Duration;

fn refusal(args: &[&str]) -> ErrorKind {
    match Args::try_parse_from([&["backsight"], args].concat()) {
        Err(error) => error.kind(),
        Ok(args) => args.check(false).expect_err("it makes sense").0,
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Args::command().debug_assert();
}

#[test]
fn durations_have_a_unit() {
    assert_eq!(duration("150ms"), Ok(Duration::from_millis(150)));
    assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
    for bad in ["", "5", "ms", "1.5s", "-1s", "5 s", "99999999999999999999s", "9999999999999h"] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_collector_is_a_host_and_a_port() {
    for good in ["http://a:1", "http://a.b-c_d:4390/", "http://[::1]:4390", "https://10.0.0.9:65535"] {
        assert_eq!(good.parse::<CollectorUrl>().unwrap().to_string(), good);
    }
    let bad =
        ["", "a:1", "https://a", "http://a", "http://a:0", "http://:1", "http://a:1/x", "http://u@a:1", "ftp://a:1"];
    for bad in bad {
        assert!(bad.parse::<CollectorUrl>().unwrap_err().contains("http://host:port"), "{bad}");
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let laterals = vec!["--lateral=1"; 33];
    for bad in [
        vec!["trace", "get", "1", "--json", "--format", "otlp"],
        vec!["--json", "trace", "get", "1", "--format", "json"],
        vec!["trace", "get", "1", "2", "--format", "perfetto", "--output", "x"],
        vec!["trace", "get", "1", "--local", "--format", "otlp"],
        vec!["trace", "search", "--service", ""],
        vec!["trace", "tail", "--operation", ""],
        vec!["trace", "search", "--trigger", ""],
        vec!["trace", "search", "--trigger", "0x0"],
        vec!["trigger", "fire", "1", "--trigger", ""],
        [vec!["trigger", "fire", "1"], laterals].concat(),
        vec!["--collector", "localhost:4390", "trace", "search"],
    ] {
        refusal(&bad);
    }
    let tls = ["--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c", "trace", "list"];
    assert_eq!(refusal(&[&["--collector", "http://c:1"], &tls[..]].concat()), ErrorKind::ArgumentConflict);
    assert_eq!(refusal(&["--collector", "https://c:1", "trace", "list"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refusal(&["--tls-ca", "a", "--tls-key", "c", "trace", "list"]), ErrorKind::MissingRequiredArgument);
    let good = Args::try_parse_from([&["backsight", "--collector", "https://c:1"], &tls[..]].concat()).unwrap();
    assert!(good.check(false).is_ok() && good.certificates().is_some());
    assert_eq!(refusal(&["trace", "get", "1", "--json", "--format", "otlp"]), ErrorKind::ArgumentConflict);
    let good = Args::try_parse_from(["backsight", "trace", "get", "1", "--format", "perfetto"]).unwrap();
    assert!(good.check(false).is_ok() && good.check(true).is_err());
}

#[test]
fn help_has_examples_units_and_global_options_apart() {
    let help = |path: &[&str]| {
        let mut command = Args::command();
        command.build();
        let mut at = &mut command;
        for name in path {
            at = at.find_subcommand_mut(name).unwrap();
        }
        at.render_help().to_string()
    };
    for path in [&["trace", "get"][..], &["trace", "search"], &["trace", "tail"], &["trigger", "fire"], &["doctor"]] {
        let text = help(path);
        assert!(text.contains("Examples:\n") && text.contains("Global options:\n"), "{text}");
    }
    let search = help(&["trace", "search"]);
    assert!(search.contains("exact name") && search.contains("ns, us, ms, s, m or h"), "{search}");
    assert!(help(&["trace", "list"]).contains("lingering"));
}
