//! Claims about the headers: what we write we read, what others wrote passes unchanged, and any bytes end without a panic.

use super::others::{MEMBERS_MAX, Others, STATE_BYTES_MAX};
use super::trail::TRAIL_BYTES_MAX;
use super::{BEYOND_MAX, CRUMBS_MAX, RESPONSE_BYTES_MAX, ResponseCrumb, TraceParent, TraceState, Trail, TrailFlags};
use crate::ids::{AgentId, SpanId, TraceId, TriggerId};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

fn trail(crumbs: &[u32], triggers: &[u32], flags: TrailFlags) -> Trail {
    let mut trail = Trail::default();
    trail.flags = flags;
    crumbs.iter().rev().for_each(|crumb| trail.leave(AgentId(*crumb), CRUMBS_MAX));
    triggers.iter().for_each(|trigger| trail.fire(TriggerId(*trigger)));
    trail
}

fn formatted(state: &TraceState<'_>, trail: &Trail) -> String {
    let mut out = [0; STATE_BYTES_MAX];
    let len = state.others.format(trail, &mut out);
    String::from_utf8(out[..len].to_vec()).unwrap()
}

/// Returns the header that `header` becomes at the next hop, with `trail` in front.
fn next_hop(header: &str, trail: &Trail) -> String {
    formatted(&TraceState::parse(header.as_bytes()), trail)
}

fn any_trail() -> impl Strategy<Value = Trail> {
    let crumbs = prop::collection::vec(1..u32::MAX, 1..=CRUMBS_MAX);
    (crumbs, prop::collection::vec(1..u32::MAX, 0..3), any::<bool>()).prop_map(|(crumbs, triggers, recorded)| {
        trail(&crumbs, &triggers, if recorded { TrailFlags::RECORDED } else { TrailFlags::default() })
    })
}

proptest! {
    #[test]
    fn traceparent_round_trips(hi in any::<u64>(), lo in 1..u64::MAX, span in 1..u64::MAX, flags in any::<u8>()) {
        let parent = TraceParent { trace: TraceId::new(hi, lo), span: SpanId(span), flags };
        prop_assert_eq!(TraceParent::parse(&parent.format()), Some(parent));
    }

    #[test]
    fn trail_round_trips_and_fits_its_bytes(trail in any_trail()) {
        let mut out = [0; TRAIL_BYTES_MAX];
        let len = trail.format(&mut out);
        prop_assert_eq!(Trail::parse(&out[..len]), Some(trail));
    }

    /// Members of others keep their order and their bytes, wherever ours stood among them.
    #[test]
    fn members_of_others_pass_unchanged(
        members in prop::collection::vec("[a-z][a-z0-9@/_-]{0,12}=[a-zA-Z0-9:;.=-]{1,12}", 0..12),
        at in any::<prop::sample::Index>(),
        trail in any_trail(),
    ) {
        let others: Vec<&str> = members.iter().map(String::as_str).filter(|member| !member.starts_with("bks=")).collect();
        let mut with_ours = others.clone();
        with_ours.insert(at.index(others.len() + 1), "bks=12:0000001");
        let read = with_ours.join(",");
        let state = TraceState::parse(read.as_bytes());
        prop_assert_eq!(state.trail.map(|trail| trail.crumbs().to_vec()), Some(vec![AgentId(1)]));
        let written = formatted(&state, &trail);
        let (ours, rest) = written.split_once(',').unwrap_or((&written, ""));
        prop_assert!(ours.starts_with("bks=1"));
        prop_assert_eq!(rest, others.join(","));
    }

    #[test]
    fn any_bytes_end_without_a_panic_and_within_the_limits(
        header in prop::collection::vec(prop::sample::select(b"bks=,1:.0z ;\t\x00\xff".to_vec()), 0..1500),
        trail in any_trail(),
    ) {
        let _ = TraceParent::parse(&header);
        let state = TraceState::parse(&header);
        let mut out = [0; STATE_BYTES_MAX];
        let len = state.others.format(&trail, &mut out);
        let written = &out[..len];
        prop_assert_eq!(TraceState::parse(written).trail, Some(trail));
        prop_assert!(written.split(|byte| *byte == b',').count() <= MEMBERS_MAX);
    }
}

proptest! {
    /// What one host writes of itself the other reads, with spaces around it as proxies put them.
    #[test]
    fn response_crumb_round_trips(crumb in any_response_crumb(), before in "[ \t]{0,3}", after in "[ \t]{0,3}") {
        let text = crumb.format();
        prop_assert_eq!(ResponseCrumb::parse(text.as_bytes()), Some(crumb));
        let n_beyond = crumb.beyond.iter().filter(|agent| !agent.is_none()).count();
        prop_assert_eq!(text.as_str().len(), 7 + 8 * n_beyond + usize::from(crumb.fired));
        prop_assert!(text.as_bytes().len() <= RESPONSE_BYTES_MAX);
        prop_assert_eq!(ResponseCrumb::parse(format!("{before}{}{after}", text.as_str()).as_bytes()), Some(crumb));
    }

    /// Any bytes end without a panic, and what is read of them is what they say: written again they are the same.
    #[test]
    fn any_bytes_are_a_response_crumb_that_is_written_the_same_or_none(
        header in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..30),
            prop::collection::vec(prop::sample::select(b"0123456789abcdefghjkmnpqrstvwxyzfF. \t\x00\xff".to_vec()), 0..30),
            "[0-9a-hjkmnp-tv-z]{7}(\\.[0-9a-hjkmnp-tv-z]{7}){0,3}f?[ -~]?".prop_map(String::into_bytes),
        ],
    ) {
        if let Some(crumb) = ResponseCrumb::parse(&header) {
            prop_assert!(!crumb.agent.is_none());
            let again = crumb.format();
            prop_assert_eq!(again.as_bytes(), header.trim_ascii());
        }
    }

    /// A header that was cut short or has more behind it names no host: it could be another one's.
    #[test]
    fn a_response_crumb_that_is_cut_or_longer_is_none(crumb in any_response_crumb(), more in "[!-~]{1,4}") {
        let text = crumb.format();
        for len in (0..text.as_bytes().len()).filter(|len| len % 8 != 7) {
            prop_assert_eq!(ResponseCrumb::parse(&text.as_bytes()[..len]), None);
        }
        if crumb.fired || more != "f" {
            prop_assert_eq!(ResponseCrumb::parse(format!("{}{more}", text.as_str()).as_bytes()), None);
        }
    }

    /// What an answer says goes on in the caller's own: each host once, itself not, the one that answered first.
    #[test]
    fn what_an_answer_passes_on_is_new_and_near(
        answer in prop::array::uniform3(0_u32..6),
        known in prop::array::uniform2(0_u32..6),
        room in 0_usize..4,
    ) {
        let [agent, beyond @ ..] = answer.map(AgentId);
        let (own, known) = (AgentId(1), known.map(AgentId));
        let passed = ResponseCrumb { agent, beyond, fired: false }.passed_on(own, known, room);
        let said: Vec<AgentId> = passed.into_iter().filter(|agent| !agent.is_none()).collect();
        let mut expected: Vec<AgentId> = Vec::new();
        for agent in [agent].into_iter().chain(known).chain(beyond) {
            if !agent.is_none() && agent != own && !expected.contains(&agent) {
                expected.push(agent);
            }
        }
        expected.truncate(room.min(BEYOND_MAX));
        prop_assert_eq!(said, expected);
    }
}

fn any_response_crumb() -> impl Strategy<Value = ResponseCrumb> {
    let beyond = prop::collection::vec(1..u32::MAX, 0..=BEYOND_MAX);
    (1..u32::MAX, beyond, any::<bool>()).prop_map(|(agent, behind, fired)| {
        let mut beyond = [AgentId::NONE; BEYOND_MAX];
        beyond.iter_mut().zip(behind).for_each(|(place, agent)| *place = AgentId(agent));
        ResponseCrumb { agent: AgentId(agent), beyond, fired }
    })
}

#[test]
fn malformed_traceparents_start_a_new_trace() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert!(TraceParent::parse(good.as_bytes()).is_some());
    let bad = [
        "",
        "00",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    for header in bad {
        assert_eq!(TraceParent::parse(header.as_bytes()), None, "`{header}`");
    }
    let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
    assert!(TraceParent::parse(later.as_bytes()).is_some(), "a later version is read as far as 00 goes");
}

#[test]
fn the_trail_is_written_as_the_document_shows_it() {
    let trail = trail(&[0x8e_93f7, 0x4e2_1188], &[0x12_3456], TrailFlags::RECORDED);
    let mut out = [0; TRAIL_BYTES_MAX];
    let len = trail.format(&mut out);
    assert_eq!(std::str::from_utf8(&out[..len]), Ok("13:008x4zq.02e44c8:0014d2p"));
}

#[test]
fn a_trail_keeps_its_newest_crumbs_and_a_hop_within_a_host_leaves_one() {
    let mut trail = Trail::default();
    for crumb in [1, 2, 2, 3, 4] {
        trail.leave(AgentId(crumb), 3);
    }
    assert_eq!(trail.crumbs(), [AgentId(4), AgentId(3), AgentId(2)]);
    let mut out = [0; TRAIL_BYTES_MAX];
    let len = trail.format(&mut out);
    assert_eq!(Trail::parse(&out[..len]), Some(trail), "a crumb that was pushed out leaves no trace");
    for trigger in [7, 7, 8, 9] {
        trail.fire(TriggerId(trigger));
    }
    assert_eq!(trail.triggers(), [TriggerId(7), TriggerId(8)]);
    assert!(trail.flags.has(TrailFlags::FIRED));
}

#[test]
fn malformed_members_are_ignored_and_others_still_pass() {
    let ours = trail(&[1], &[], TrailFlags::default());
    for bad in
        ["bks=", "bks=1", "bks=23:0000001", "bks=18:0000001", "bks=13:000000", "bks=13:0000001:", "bks=13:0000001x"]
    {
        let header = format!("a=1,{bad},b=2");
        assert_eq!(TraceState::parse(header.as_bytes()).trail, None, "`{bad}`");
        assert_eq!(next_hop(&header, &ours), "bks=10:0000001,a=1,b=2", "`{bad}`");
    }
    assert_eq!(TraceState::parse(b"xbks=13:0000001, bks=12:0000002 ").trail.map(|t| t.crumbs()[0]), Some(AgentId(2)));
    assert_eq!(next_hop("a=1\r\nset-cookie: x", &ours), "bks=10:0000001", "a header with a line break is ignored");
}

#[test]
fn a_header_that_is_too_long_loses_its_long_members_first_then_the_right_most() {
    let ours = trail(&[1], &[], TrailFlags::default());
    let long = |key: &str| format!("{key}={}", "x".repeat(200));
    let short = |key: &str| format!("{key}={}", "y".repeat(60));
    let header = [long("l1"), short("s1"), long("l2"), short("s2"), short("s3")].join(",");
    let kept = next_hop(&header, &ours);
    let keys: Vec<&str> = kept.split(',').filter_map(|member| member.split('=').next()).collect();
    assert_eq!(keys, ["bks", "l1", "s1", "s2", "s3"]);
    let many: Vec<String> = (0..40).map(|i| format!("k{i}=v")).collect();
    let kept = next_hop(&many.join(","), &ours);
    assert_eq!(kept.split(',').count(), MEMBERS_MAX);
    assert!(kept.ends_with("k30=v"));
}

/// The look that copies may count a comma twice; what fits passes as it is all the same, whatever its length.
#[test]
fn as_many_members_as_may_pass_pass_unchanged_at_every_length() {
    let ours = trail(&[7], &[], TrailFlags::default());
    for filler in 0..64 {
        for n_others in [MEMBERS_MAX - 1, MEMBERS_MAX] {
            // Empty members are members.
            let others = format!("a={}{}b=1", "x".repeat(filler), ",".repeat(n_others - 1));
            let mut out = [0; STATE_BYTES_MAX];
            let len = Others::of(others.as_bytes()).format(&ours, &mut out);
            let passed = std::str::from_utf8(&out[..len]).unwrap();
            assert_eq!(passed.ends_with(&others), n_others < MEMBERS_MAX, "{filler} {n_others}: {passed}");
            let mut again = [0; STATE_BYTES_MAX];
            let len_again = Others::of(&out[..len]).format(&ours, &mut again);
            assert_eq!(&out[..len], &again[..len_again]);
        }
    }
}
