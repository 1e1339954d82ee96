//! The tables of `docs/scale.md`, and its plot.

use super::Held;
use crate::scale::costs::Costs;
use crate::scale::study::{CORES, SHARE_MAX, STATIONS, STORM_SHARE, Scenario, Share, Size, TRIGGERS_MAX};
use backsight_collector::config::{CollectorConfig, StoreConfig};
use backsight_collector::coordinator::{AGENTS_MAX, GROUP_LIFE, GROUPS_MAX, PARTS_MAX};

/// Characters of a full bar.
const BAR: f64 = 50.0;

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

/// Returns about three significant digits.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share))
}

/// What `rec-traverse` measured, what is predicted, and how far that is off.
pub(super) fn validation(held: &[Held]) -> String {
    let mut off: Vec<f64> = Vec::new();
    let mut rows = Vec::new();
    for Held { case, measured, predicted } in held {
        let predicted_of = |metric: &str| match metric {
            "traverse_p50_ms" => predicted.p50_ms,
            "traverse_p99_ms" => predicted.p99_ms,
            "reached_per_s" => predicted.reached_per_s,
            _ => predicted.collector_us_per_collect,
        };
        let mut row = vec![case.name()];
        for (metric, measured) in measured {
            let predicted = predicted_of(metric);
            let Some(measured) = measured else {
                row.push(format!("- / {}", number(predicted)));
                continue;
            };
            let error = predicted / measured - 1.0;
            off.push(error.abs());
            row.push(format!("{} / {} ({:+.0} %)", number(*measured), number(predicted), 100.0 * error));
        }
        rows.push(row);
    }
    off.sort_by(f64::total_cmp);
    let at = |share| crate::bench::stats::quantile(&off, share).unwrap_or(0.0);
    let head = ["load", "p50, ms", "p99, ms", "followed, 1/s", "collector, us for each Collect"];
    format!(
        "Each is measured / predicted.\n\n{}\nOf {} predictions half are within {:.0} % of what was measured, and nine in ten within {:.0} %.\n",
        table(&head, rows.into_iter()),
        off.len(),
        100.0 * at(0.5),
        100.0 * at(0.9)
    )
}

/// What is full first where triggers become more, with one collector, and how many collectors the load takes.
pub(super) fn bottlenecks(sizes: &[Size]) -> String {
    let head = [
        "hosts",
        "triggers/s of the load",
        "one collector's group table is full at",
        "one collector follows at most",
        "and then is full",
        "busiest at the load",
        "collectors",
        "busiest then",
    ];
    let table_full = GROUPS_MAX as f64 / (GROUP_LIFE.0 as f64 / 1e9);
    let busy = |(name, share): (&str, f64)| format!("{name}, {}", percent(share));
    let rows = sizes.iter().map(|size| {
        let (per_s, shares) = size.highest;
        vec![
            size.workload.n_hosts.to_string(),
            number(size.workload.triggers_per_s()),
            format!("{} triggers/s", number(table_full)),
            format!("{} triggers/s", number(per_s)),
            busy(shares.busiest(false)),
            busy(size.one.shares.busiest(true)),
            size.n_collectors.to_string(),
            busy(size.enough.shares.busiest(true)),
        ]
    });
    table(&head, rows)
}

/// How busy every part is with one collector.
pub(super) fn shares(sizes: &[Size]) -> String {
    let head: Vec<&str> = ["hosts"].into_iter().chain(STATIONS.iter().map(|(name, _)| *name)).collect();
    let row = |size: &Size| {
        let of = STATIONS.iter().map(|(_, share)| percent(share(&size.one.shares)));
        [size.workload.n_hosts.to_string()].into_iter().chain(of).collect()
    };
    table(&head, sizes.iter().map(row))
}

/// The same as bars.
pub(super) fn plot(sizes: &[Size]) -> String {
    let mut text = format!("```\n{:>9}  {:<20} {}100 %\n", "hosts", "", " ".repeat(BAR as usize - 4));
    for size in sizes {
        let of: Vec<(&str, Share)> = STATIONS[..6].to_vec();
        for (idx, (name, share)) in of.into_iter().enumerate() {
            let share = share(&size.one.shares);
            let hosts = if idx == 0 { size.workload.n_hosts.to_string() } else { String::new() };
            let n = (share.min(1.2) * BAR).round() as usize;
            text += format!("{hosts:>9}  {name:<20} {}", "█".repeat(n)).trim_end();
            text.push('\n');
        }
        text.push('\n');
    }
    text + "```\n"
}

/// How long triggers take.
pub(super) fn times(sizes: &[Size]) -> String {
    let head = ["hosts", "all hosts asked, p50", "p99", "all on disk, p50", "p99", "messages/s of a collector"];
    let ms = |value: f64| format!("{} ms", number(value));
    let rows = sizes.iter().map(|size| {
        let times = size.enough.times;
        vec![
            size.workload.n_hosts.to_string(),
            ms(times.reach_p50_ms),
            ms(times.reach_p99_ms),
            ms(times.store_p50_ms),
            ms(times.store_p99_ms),
            number(size.enough.per_s.n_messages as f64),
        ]
    });
    table(&head, rows)
}

/// What all that costs each host.
pub(super) fn per_host(sizes: &[Size], costs: &Costs) -> String {
    let head = [
        "hosts",
        "its agent, of a core",
        "of that for triggers",
        "agent's memory",
        "reports, B/s",
        "collectors, of a core",
        "collectors' memory",
        "disk, B/s",
    ];
    let rows = sizes.iter().map(|size| {
        let (n_hosts, n_collectors, per_s) =
            (size.workload.n_hosts as f64, size.n_collectors as f64, size.enough.per_s);
        let triggers = (per_s.loop_ns + per_s.link_ns) as f64 / 1e9 / n_hosts;
        let visits = size.workload.visits_per_s() * costs.agent_visit_us / 1e6;
        let collectors_ns = (per_s.runtime_ns + per_s.writer_ns + per_s.settle_ns) as f64;
        let collectors = n_collectors * (collectors_ns / 1e9 / n_hosts + costs.idle_connection_us_per_s / 1e6);
        let library = f64::from(u32::try_from(StoreConfig::default().traces_max).unwrap_or(u32::MAX));
        let memory = n_collectors * (size.memory.2 + library * costs.stored_trace_bytes) / n_hosts;
        vec![
            size.workload.n_hosts.to_string(),
            percent(triggers + visits + costs.agent_idle_us_per_s / 1e6),
            percent(triggers),
            format!("{} MB", number(costs.agent_bytes / 1e6)),
            number(per_s.sent_bytes / n_hosts),
            percent(collectors),
            format!("{} MB", number(memory / 1e6)),
            number(n_collectors * per_s.disk_bytes / n_hosts),
        ]
    });
    table(&head, rows)
}

/// What is bounded, and how far the load is from it.
pub(super) fn limits(sizes: &[Size], costs: &Costs) -> String {
    let head = [
        "hosts",
        "groups of a coordinator",
        "agents over all traces",
        "its memory",
        "connections of a collector",
        "traces are findable for",
        "the disk holds",
    ];
    let (collector, store) = (CollectorConfig::default(), StoreConfig::default());
    let rows = sizes.iter().map(|size| {
        let (n_groups, n_parts, bytes) = size.memory;
        let n_hosts = size.workload.n_hosts;
        let traces_per_s =
            size.enough.per_s.disk_bytes / costs.report_disk_bytes / size.workload.hosts_per_request as f64;
        let hours = |seconds: f64| format!("{} h", number(seconds / 3600.0));
        vec![
            n_hosts.to_string(),
            format!("{n_groups} ({} of {GROUPS_MAX})", percent(n_groups as f64 / GROUPS_MAX as f64)),
            format!("{n_parts} ({} of {PARTS_MAX})", percent(n_parts as f64 / PARTS_MAX as f64)),
            format!("{} MB", number(bytes / 1e6)),
            format!(
                "{n_hosts} ({} of {})",
                percent(n_hosts as f64 / collector.agents_max as f64),
                collector.agents_max
            ),
            hours(store.traces_max as f64 / traces_per_s),
            hours(store.max_bytes as f64 / size.enough.per_s.disk_bytes),
        ]
    });
    let text = table(&head, rows);
    format!(
        "{text}\nA coordinator remembers {AGENTS_MAX} agents that are not connected. A collector is a machine with {CORES} cores; it is enough \
         where nothing of it is busier than {}.\n",
        percent(SHARE_MAX)
    )
}

fn took(scenario: &Scenario) -> Vec<String> {
    let times = scenario.times;
    vec![
        number(times.n as f64),
        format!("{} ms", number(times.reach_p50_ms)),
        format!("{} ms", number(times.reach_p99_ms)),
        percent(times.unreached_share),
        format!("{} ms", number(times.store_p99_ms)),
        percent(times.unstored_share),
    ]
}

const TOOK: [&str; 6] = ["triggers", "all hosts asked, p50", "p99", "never", "all on disk, p99", "never"];

/// A second in which many requests fail.
pub(super) fn storm(sizes: &[Size]) -> String {
    let head: Vec<&str> =
        ["hosts"].into_iter().chain(TOOK).chain(["groups refused or ended early", "messages that waited"]).collect();
    let rows = sizes.iter().map(|size| {
        let of = &size.storm;
        let rest = [of.n_refused.to_string(), of.mailbox_max.to_string()];
        [size.workload.n_hosts.to_string()].into_iter().chain(took(of)).chain(rest).collect()
    });
    format!(
        "For a second a trigger fires for {} of all requests, at most {} times; *never* is by the end of the simulation.\n\n{}",
        percent(STORM_SHARE),
        number(TRIGGERS_MAX),
        table(&head, rows)
    )
}

/// A coordinator that is started again.
pub(super) fn restart(sizes: &[Size]) -> String {
    let head: Vec<&str> =
        ["hosts", "known again after"].into_iter().chain(["messages that waited"]).chain(TOOK).collect();
    let rows = sizes.iter().map(|size| {
        let of = &size.restart;
        let rebuilt = of.rebuilt_ms.map_or_else(|| "-".to_owned(), |ms| format!("{} ms", number(ms)));
        [size.workload.n_hosts.to_string(), rebuilt, of.mailbox_max.to_string()].into_iter().chain(took(of)).collect()
    });
    table(&head, rows)
}

/// A collector that is lost.
pub(super) fn outage(sizes: &[Size]) -> String {
    let head: Vec<&str> =
        ["hosts", "collectors"].into_iter().chain(TOOK).chain(["asked p99, after the move", "never"]).collect();
    let rows = sizes.iter().map(|size| {
        let (during, after) = &size.outage;
        let rest = [format!("{} ms", number(after.reach_p99_ms)), percent(after.unreached_share)];
        let first = [size.workload.n_hosts.to_string(), size.n_collectors.max(2).to_string()];
        first.into_iter().chain(took(during)).chain(rest).collect()
    });
    table(&head, rows)
}
