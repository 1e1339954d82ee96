//! `docs/measured.md`: what full runs of the benchmarks found, as tables, with the conditions of each.
//!
//! Called by `cargo xtask bench --document`. It copies what the benchmarks wrote and rounds it. What stands in the document of one that has left
//! no full run stays: each section says at which commit it was measured.

use super::{Outcome, Row};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};

const HEAD: &str = "# What was measured

Written by `cargo xtask bench --document` from what full runs of `cargo xtask bench NAME` left in `target/bench`. Each value is the median of its
rounds, with the smallest and the largest. A *must* is what the row has to reach: ours over the peer's, or the value itself. A/A is the same
set-up measured twice in the same rounds, over itself: what a ratio of wall-clock times means nothing below. *inconclusive* says that the machine was
too noisy for the row, *no-peer* that the peer was not there.
";

/// Writes the document.
///
/// # Errors
/// No benchmark has left a full run, one has left something unreadable, or the file cannot be written.
pub(super) fn write(workspace: &Workspace, names: &[&str]) -> Result<()> {
    let path = workspace.root.join("docs/measured.md");
    let before = std::fs::read_to_string(&path).unwrap_or_default(); // the first time there is none
    let mut text = HEAD.to_owned();
    let mut n_written = 0;
    for name in names {
        let json = workspace.target.join("bench").join(format!("{name}.json"));
        let outcome = if json.exists() { Some(Outcome::read(&json)?).filter(|outcome| !outcome.quick) } else { None };
        let Some(outcome) = outcome else {
            let stays = standing_section(&before, name).unwrap_or_default();
            println!(
                "{name}: {} `cargo xtask bench {name}` runs it",
                if stays.is_empty() { "left out." } else { "stays." }
            );
            text += stays;
            continue;
        };
        let source = workspace.root.join(format!("tests/bench/{name}.rs"));
        let source = std::fs::read_to_string(&source).with_context(|| format!("read {}", source.display()))?;
        text += &section(name, &about(&source), &outcome);
        n_written += 1;
    }
    if n_written == 0 {
        bail!("no benchmark has run in full; `cargo xtask bench --list` names them");
    }
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Returns the section of `name` in a document, from the line before its heading on.
fn standing_section<'d>(document: &'d str, name: &str) -> Option<&'d str> {
    let start = document.find(&format!("\n## {name}\n"))?;
    let rest = &document[start..];
    Some(rest[1..].find("\n## ").map_or(rest, |end| &rest[..=end]))
}

/// Returns what a benchmark says of itself in its source's first line, as a sentence.
fn about(source: &str) -> String {
    let line = source.lines().next().unwrap_or_default();
    let says = line.split_once(": ").map_or(line, |(_, says)| says);
    let says = says.split(" (").next().unwrap_or(says).trim_end_matches('.');
    let mut letters = says.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn section(name: &str, about: &str, outcome: &Outcome) -> String {
    let [one, five, fifteen] = outcome.load_average;
    let runs = outcome.results.iter().map(|row| row.runs).max().unwrap_or(0);
    let mut text = format!(
        "\n## {name}\n\n{about} Commit `{}`; {}; load average at the start {one:.2}, {five:.2}, {fifteen:.2}; up to {runs} rounds.\n\n\
         | metric | case | ours (min–max) | peer | the peer's | ratio | A/A | must | verdict |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        outcome.commit, outcome.machine
    );
    for row in &outcome.results {
        text += &line(row);
    }
    text
}

fn line(row: &Row) -> String {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let spread = row.min.zip(row.max).map(|(min, max)| format!(" ({}–{})", number(min), number(max)));
    let cells = [
        format!("`{}`", row.metric),
        row.case.clone(),
        format!("{} {}{}", or_dash(row.value.map(number)), row.unit, spread.unwrap_or_default()),
        or_dash(row.peer.clone()),
        or_dash(row.peer_value.map(number)),
        or_dash(row.ratio.map(|ratio| format!("{ratio:.3}"))),
        or_dash(row.aa_ratio.map(|ratio| format!("{ratio:.3}"))),
        or_dash(row.must.as_ref().map(|must| format!("`{must}`"))),
        row.verdict.name().to_owned(),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// Returns about four significant digits.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 || size == 0.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::{Outcome, about, section, standing_section};

    #[test]
    fn section_shows_conditions_and_every_row() {
        let text = r#"{"commit": "abc", "machine": "a machine", "load_average": [0.5, 1, 2], "results": [
            {"metric": "span_ns", "case": "a|b", "value": 24.06, "unit": "ns", "peer": "fastrace", "peer_value": 56.4,
             "ratio": 0.4266, "must": "ratio<=0.5", "runs": 21, "min": 23.5, "max": 1200.4, "verdict": "pass"},
            {"metric": "lost", "value": 0, "unit": "records", "verdict": "inconclusive"}]}"#;
        let outcome: Outcome = serde_json::from_str(text).unwrap();
        let text = section("rec-micro", "What one operation costs.", &outcome);
        for part in [
            "## rec-micro\n\nWhat one operation costs. Commit `abc`; a machine; load average at the start 0.50, 1.00, 2.00; up to 21 rounds.",
            "| `span_ns` | a\\|b | 24.06 ns (23.50–1200) | fastrace | 56.40 | 0.427 | - | `ratio<=0.5` | pass |",
            "| `lost` |  | 0 records | - | - | - | - | - | inconclusive |",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn section_of_what_has_not_run_stays_as_it_is() {
        let document = "# Head\n\n## a\n\nsays\n\n## b\n\nsays more\n";
        assert_eq!(standing_section(document, "a"), Some("\n## a\n\nsays\n"));
        assert_eq!(standing_section(document, "b"), Some("\n## b\n\nsays more\n"));
        assert_eq!(standing_section(document, "c"), None);
        let both: String = ["a", "b"].iter().filter_map(|name| standing_section(document, name)).collect();
        assert_eq!(format!("# Head\n{both}"), document);
    }

    #[test]
    fn benchmark_says_what_it_is_about() {
        let source = "//! `rec-x`: what one operation costs, against a floor (spec, section 7).\n//!\n";
        assert_eq!(about(source), "What one operation costs, against a floor.");
    }
}
