//! Claims about lists: what is not listed says how to list it, and words are explained.

use super::{more, text};
use crate::collector::Found;
use backsight_core::certificate::{Gap, GapKind, Verdict};
use backsight_core::coordination::Fired;
use backsight_core::ids::{AgentId, TraceId, TriggerId};
use backsight_core::names::{TriggerName, TriggerNames};
use backsight_proto::wire::Summary;
use expect_test::expect;

#[test]
fn what_is_not_listed_says_how_to_list_it() {
    assert_eq!(more(20, 28), "and 28 more: --limit 48\n");
    assert_eq!(more(20, 981), "and 981 more: --limit 1000 is the most, narrow the search\n");
}

#[test]
fn reasons_are_explained_below_the_list() {
    let gap = |kind| Gap { kind, agent: AgentId(1), n: 1 };
    let fired = |trigger| Fired { trigger, agent: AgentId(1), fired_ns: 0, base: None };
    let (named, mut names) = (TriggerName::new("bricks.slow").unwrap(), TriggerNames::new());
    assert!(names.add(named.clone(), 1));
    let summary = Summary {
        trace: TraceId::new(7, 1),
        start_ns: 1_700_000_000_000_000_000,
        duration_ns: 5000,
        root_service: "cart".to_owned(),
        root_operation: "GET /cart".to_owned(),
        services: Vec::new(),
        n_spans: 1,
        n_errors: 0,
        n_agents: 1,
        bytes: 600,
        n_deaths: 0,
        fired: vec![fired(named.id()), fired(TriggerId(0x1234)), fired(named.id())],
        names,
        verdict: Verdict::Partial,
        gaps: vec![gap(GapKind::Loss), gap(GapKind::OneEnded)],
    };
    let found = Found { traces: vec![summary], n_more: 28 };
    expect![[r#"
        TRACE                             START                      LENGTH  ROOT            SPANS  ERRORS  HOSTS   SIZE  TRIGGER             CERTIFICATE
        00000000000000070000000000000001  2023-11-14T22:13:20.000Z  5.00 us  cart GET /cart      1       0      1  600 B  0x1234 bricks.slow  partial: loss, one_ended
        and 28 more: --limit 29

        loss: records were lost on a host meanwhile
        one_ended: it points to a host that knows nothing of it
    "#]].assert_eq(&text(&found, None));
}
