//! Claims about the library: what was acknowledged is found, at any later start; what comes twice counts once; what is found is what was
//! asked for.

mod failures;
mod rest;
mod search;
pub(crate) mod traces;

use self::traces::{TestReport, TestSpan, one_span, trace};
use super::{Filter, Library, Lookup, Options, REPORTS_MAX, Stored};
use backsight_core::certificate::{Contact, Verdict};
use backsight_core::coordination::{AgentView, Fired, View};
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TriggerId};
use backsight_core::names::{TriggerName, TriggerNames};
use backsight_proto::v1;
use backsight_proto::wire::{Report, StoredTrace};
use backsight_store::log::{self, Log};
use std::path::Path;

pub(crate) const AGENT: AgentId = AgentId(5);
const SPAN: TestSpan = TestSpan { id: 1, parent: 0, name: "GET /", start: 1000, took: 500, is_error: false };

pub(crate) fn open(folder: &Path, options: Options) -> Library {
    let log = Log::open(log::Options { folder: folder.to_owned(), file_bytes: 4096 }).unwrap();
    Library::open(Box::new(log), options).unwrap()
}

async fn add(library: &Library, reports: &[TestReport]) {
    library.add(AGENT, reports.iter().map(TestReport::message).collect()).await.unwrap();
}

fn stored(library: &Library, lo: u64) -> Option<Stored> {
    match library.get(trace(lo)) {
        Lookup::Stored(stored) => Some(*stored),
        Lookup::Announced | Lookup::Unknown => None,
    }
}

fn view(lo: u64, contact: Contact) -> View {
    let agents = vec![AgentView { agent: AgentId(9), contact, holding: None }];
    View { trace: trace(lo), agents, is_overfull: false, seed_epoch: 1, ..View::default() }
}

/// What an agent said to have in any report is looked for, though it was started again since and has never seen it.
#[tokio::test]
async fn what_was_announced_and_never_came_is_missing_after_the_agent_s_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut library = open(folder.path(), Options::default());
    let report = one_span(1, "cart", SPAN);
    add(&library, std::slice::from_ref(&report)).await;
    let verdict = |library: &Library| stored(library, 1).unwrap().examine().1.verdict;
    assert_eq!(verdict(&library), Verdict::Complete);
    let mut of_two = report.report(); // the second segment stands in the next batch
    (of_two.holding.revision, of_two.holding.n_segments) = (2, 2);
    library.add(AGENT, vec![(&of_two).into()]).await.unwrap();
    assert_eq!(verdict(&library), Verdict::Partial);
    let never_seen = Holding { revision: 1 << 20, trace: trace(1), ..Holding::default() };
    let agents = vec![AgentView { agent: AGENT, contact: Contact::Answered, holding: Some(never_seen.clone().into()) }];
    library.note_view(View { agents, ..view(1, Contact::Answered) }).await.unwrap();
    let of_its_new_life = Report { holding: Holding { revision: 2 << 20, ..never_seen }, ..report.report() };
    library.add(AGENT, vec![(&of_its_new_life).into()]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(verdict(&library), Verdict::Partial);
        library = open_again(&library, folder.path()).await;
    }
}

#[tokio::test]
async fn what_was_reported_is_read_back_now_and_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut library = open(folder.path(), Options::default());
    let report = one_span(1, "cart", SPAN);
    add(&library, &[report.clone(), one_span(2, "till", SPAN)]).await;
    library.note_view(view(1, Contact::Asked)).await.unwrap();
    library.note_view(view(1, Contact::Unreachable)).await.unwrap();
    library.add(AGENT, Vec::new()).await.unwrap();
    for _ in 0..2 {
        library = open_again(&library, folder.path()).await;
        let stored = stored(&library, 1).unwrap();
        let mut slices = report.report().slices;
        slices[0].process.agent = AGENT;
        assert_eq!(stored.slices.get(&AGENT), Some(&slices));
        assert_eq!((stored.fired.len(), stored.fired[0].agent), (1, AGENT));
        assert_eq!(stored.view, Some(view(1, Contact::Unreachable)), "the last view counts");
        let reply = stored.to_reply();
        let (whole, certificate) = stored.examine();
        assert_eq!((whole.spans.len(), &*whole.spans[0].name), (1, "GET /"));
        assert_eq!(certificate.agents.iter().map(|part| part.agent).collect::<Vec<_>>(), [AGENT, AgentId(9)]);
        assert_ne!(certificate.verdict, Verdict::Complete);
        assert_eq!((reply.hosts.len(), reply.fired.len()), (1, 1));
        let slice = reply.hosts[0].slices[0].clone().into_slice(AGENT).unwrap();
        assert_eq!(slice, slices[0]);
        assert_eq!((library.stats().n_traces, library.stats().n_entries), (2, 3));
    }
}

/// Returns the library opened anew.
async fn open_again(library: &Library, folder: &Path) -> Library {
    library.close().await;
    open(folder, Options::default())
}

#[tokio::test]
async fn every_trigger_of_a_trace_is_told_and_hearsay_only_where_nothing_better_is() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let told = |lo| {
        let stored = stored(&library, lo).unwrap();
        stored.fired.iter().map(|fired| fired.trigger).collect::<Vec<_>>()
    };
    let mut heard = one_span(1, "cart", SPAN).message();
    heard.trigger = TriggerId::ELSEWHERE.0;
    library.add(AGENT, vec![heard]).await.unwrap();
    assert_eq!(told(1), [TriggerId::ELSEWHERE]);
    let fired = |trigger, fired_ns| Fired { trigger: TriggerId(trigger), agent: AgentId(9), fired_ns, base: None };
    library.note_view(View { fired: vec![fired(400, 7), fired(500, 3)], ..view(1, Contact::Answered) }).await.unwrap();
    library.add(AGENT, Vec::new()).await.unwrap();
    assert_eq!(told(1), [TriggerId(500), TriggerId(400)], "by time");
}

#[tokio::test]
async fn names_of_triggers_are_stored_with_the_trace_and_only_those_that_fired_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let name = |text: &str| TriggerName::new(text).unwrap();
    let names = |texts: &[&str]| {
        let mut names = TriggerNames::new();
        assert!(texts.iter().all(|text| names.add(name(text), 9)));
        names
    };
    let (slow, error) = (name("bricks.slow").id(), name("bricks.error").id());
    let mut library = open(folder.path(), Options::default());
    let report = TestReport { trigger: slow, ..one_span(1, "cart", SPAN) }.report();
    let report = Report { names: names(&["bricks.slow", "of nobody here"]), ..report };
    library.add(AGENT, vec![(&report).into()]).await.unwrap();
    let fired = vec![Fired { trigger: error, agent: AGENT, fired_ns: 7, base: None }];
    let told = View { fired, names: names(&["bricks.error"]), ..view(1, Contact::Answered) };
    library.note_view(told).await.unwrap();
    library.add(AGENT, Vec::new()).await.unwrap();
    for _ in 0..2 {
        let shown = stored(&library, 1).unwrap().examine().0.names;
        assert_eq!(shown, names(&["bricks.slow", "bricks.error"]));
        assert_eq!(StoredTrace::try_from(stored(&library, 1).unwrap().to_reply()).unwrap().names, shown);
        library.settle(0);
        library.settle(u64::MAX / 2);
        let found = library.search(&Filter { trigger: error, ..Filter::default() }, 10).traces;
        assert_eq!(found[0].names, shown);
        library = open_again(&library, folder.path()).await;
    }
}

#[tokio::test]
async fn a_trace_that_was_only_announced_is_told_from_an_unknown_one() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    library.note_view(view(1, Contact::Asked)).await.unwrap();
    library.add(AGENT, Vec::new()).await.unwrap();
    assert_eq!((library.get(trace(1)), library.get(trace(2))), (Lookup::Announced, Lookup::Unknown));
    library.settle(0);
    library.settle(u64::MAX / 2);
    assert_eq!(library.search(&Filter::default(), 10), super::Found::default());
}

#[tokio::test]
async fn what_comes_twice_is_stored_once_and_the_longer_segment_counts() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let child = TestSpan { id: 2, parent: 1, name: "read", start: 1100, ..SPAN };
    let short = one_span(1, "cart", SPAN);
    let long = TestReport {
        revision: 2,
        segments: vec![vec![SPAN, child], vec![TestSpan { id: 3, ..child }]],
        ..short.clone()
    };
    add(&library, &[short.clone(), short.clone()]).await;
    add(&library, std::slice::from_ref(&long)).await;
    add(&library, &[short.clone(), long.clone()]).await;
    let library = open_again(&library, folder.path()).await;
    add(&library, std::slice::from_ref(&short)).await;
    let stats = library.stats();
    assert_eq!((stats.n_entries, stats.n_reports, stats.n_duplicates), (2, 0, 1));
    let stored = stored(&library, 1).unwrap();
    let slices = &stored.slices[&AGENT];
    assert_eq!((slices.len(), slices[0].segments.len(), slices[0].process.strings.len()), (1, 2, 2));
    assert_eq!(slices[0].segments, long.report().slices[0].segments);
    assert_eq!((stored.holdings[&AGENT].revision, stored.fired.len()), (2, 1));
    assert_eq!(stored.received()[&AGENT].amount.n_segments, 2);
    assert_eq!(stored.examine().0.spans.len(), 3);
}

#[tokio::test]
async fn malformed_reports_are_refused_and_counted_and_others_stored() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let sound = one_span(1, "cart", SPAN).message();
    let without_holding = v1::TraceReport { holding: None, ..sound.clone() };
    let mut of_no_trace = sound.clone();
    of_no_trace.holding.as_mut().unwrap().trace = vec![0; 16];
    library.add(AGENT, vec![without_holding, sound, of_no_trace]).await.unwrap();
    let stats = library.stats();
    assert_eq!((stats.n_reports, stats.drops.get("malformed")), (1, Some(&2)));
    assert!(stored(&library, 1).is_some());
}

#[tokio::test]
async fn the_oldest_go_first_when_there_are_too_many_bytes_or_traces() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 20_000, ..Options::default() };
    let library = open(folder.path(), options);
    for lo in 1..200 {
        add(&library, &[one_span(lo, "cart", SPAN)]).await;
        library.settle(lo * 2_000_000_000);
    }
    let stats = library.stats();
    assert!(stats.stored_bytes <= 20_000 && stats.n_retired_files > 0, "{stats:?}");
    assert!(stats.n_traces < 150 && stats.n_traces == stats.n_entries, "{stats:?}");
    let kept: Vec<_> = (1..200).filter(|lo| stored(&library, *lo).is_some()).collect();
    assert_eq!(kept, (200 - stats.n_traces..200).collect::<Vec<_>>());
    let found = library.search(&Filter::default(), 1000).traces.len() as u64;
    assert!(found == stats.n_traces || found + 1 == stats.n_traces, "what is gone is not found");
    library.close().await;
    let library = open(folder.path(), Options { traces_max: 3, ..options });
    assert_eq!((library.stats().n_traces, library.stats().n_entries), (3, 3));
    assert_eq!(library.stats().n_forgotten, stats.n_traces - 3);
    add(&library, &[one_span(500, "cart", SPAN)]).await;
    assert!(stored(&library, 197).is_none() && stored(&library, 198).is_some() && stored(&library, 500).is_some());
}

/// What is acknowledged and not stored is not forgotten: the coordinator hears of it, so that the view says that there is more.
#[tokio::test]
async fn reports_beyond_the_most_of_a_trace_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let nth = |revision: u64| TestReport { revision, ..one_span(1, "cart", SPAN) }.message();
    let n = REPORTS_MAX as u64;
    assert_eq!(library.add(AGENT, (0..n).map(nth).collect()).await.unwrap(), []);
    let more = vec![nth(n), nth(0), one_span(2, "cart", SPAN).message(), nth(n + 1)];
    let left_out = library.add(AGENT, more).await.unwrap();
    assert_eq!(
        left_out.iter().map(|holding| (holding.trace.lo, holding.revision)).collect::<Vec<_>>(),
        [(1, n), (1, n + 1)]
    );
    assert_eq!(library.stats().n_reports, REPORTS_MAX as u64 + 1);
}

#[tokio::test]
async fn those_who_wait_share_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options { queue_bytes: 4096, ..Options::default() });
    let one = |lo| {
        let library = library.clone();
        tokio::spawn(async move { library.add(AGENT, vec![one_span(lo, "cart", SPAN).message()]).await.unwrap() })
    };
    let all: Vec<_> = (1..=300).map(one).collect();
    for one in all {
        one.await.unwrap();
    }
    let stats = library.stats();
    assert_eq!(stats.n_reports, 300);
    assert!(stats.n_syncs < 300 && stats.n_syncs > 0, "{} syncs", stats.n_syncs);
}

#[tokio::test]
async fn firings_and_hosts_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let cart = one_span(1, "cart", SPAN);
    let again = TestReport { trigger: TriggerId::CLI, ..cart.clone() };
    let callee = TestSpan { id: 2, parent: 1, name: "charge", start: 1200, took: 50, is_error: true };
    add(&library, &[cart, again]).await;
    library.add(AgentId(6), vec![one_span(1, "till", callee).message()]).await.unwrap();
    library.settle(0);
    assert_eq!(library.settle(super::QUIET_NS).n, 1);
    let found = library.search(&Filter::default(), 10);
    let summary = &found.traces[0];
    assert_eq!((summary.n_agents, summary.n_spans, summary.n_errors, summary.fired.len()), (2, 2, 1, 3));
    assert_eq!(
        (&*summary.root_service, &*summary.root_operation, &*summary.services),
        ("cart", "GET /", &["cart".to_owned(), "till".to_owned()][..])
    );
    assert_eq!((summary.start_ns, summary.duration_ns), (traces::EPOCH_NS + 1000, 500));
}
