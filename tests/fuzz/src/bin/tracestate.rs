//! Headers of the trace context and of responses: whatever comes in, what goes out is within the standard's limits and reads back the same.
#![no_main]

use backsight_core::context::{ResponseCrumb, STATE_BYTES_MAX, TraceParent, TraceState};
use backsight_core::ids::AgentId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &[u8]| {
    if let Some(parent) = TraceParent::parse(header) {
        assert_eq!(TraceParent::parse(&parent.format()), Some(parent));
    }
    if let Some(crumb) = ResponseCrumb::parse(header) {
        assert!(!crumb.agent.is_none());
        assert_eq!(crumb.format().as_bytes(), header.trim_ascii());
    }
    let state = TraceState::parse(header);
    let mut trail = state.trail.unwrap_or_default();
    trail.leave(AgentId(7), 3);
    let mut first = [0; STATE_BYTES_MAX];
    let len = state.others.format(&trail, &mut first);
    let passed = TraceState::parse(&first[..len]);
    assert_eq!(passed.trail, Some(trail));
    // A second hop of the same host changes nothing more.
    let mut second = [0; STATE_BYTES_MAX];
    let again = passed.others.format(&trail, &mut second);
    assert_eq!(&first[..len], &second[..again]);
});
