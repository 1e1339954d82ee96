//! Claims about ids: text forms round-trip, and nothing else parses.

use super::{AgentId, BASE32_DIGITS, TraceId, TriggerId, base32, parse_base32};
use proptest::prelude::{any, prop_assert_eq, proptest};

proptest! {
    #[test]
    fn agent_id_round_trips(id in any::<u32>()) {
        prop_assert_eq!(AgentId(id).to_string().parse::<AgentId>(), Ok(AgentId(id)));
        prop_assert_eq!(parse_base32(&base32(id)), Some(id));
    }

    #[test]
    fn trace_id_round_trips(hi in any::<u64>(), lo in 1..u64::MAX) {
        let id = TraceId::new(hi, lo);
        prop_assert_eq!(id.to_string().parse::<TraceId>(), Ok(id));
    }
}

#[test]
fn every_base32_digit_has_its_value() {
    for (value, digit) in BASE32_DIGITS.iter().enumerate() {
        let text = [b'0', b'0', b'0', b'0', b'0', b'0', *digit];
        assert_eq!(parse_base32(&text), Some(value as u32), "digit {}", *digit as char);
    }
}

#[test]
fn what_is_not_an_id_is_refused_with_its_text() {
    for text in ["", "0", "xyz", "000000000000000000000000000000000"] {
        assert!(text.parse::<TraceId>().is_err(), "`{text}`");
    }
    for text in ["", "0000000i", "000000u", "zzzzzzz", "0000000 "] {
        assert!(text.parse::<AgentId>().is_err(), "`{text}`");
    }
    let error = "xyz".parse::<TraceId>().unwrap_err().to_string();
    assert_eq!(error, "`xyz` is not a trace id: expected 1 to 32 hex digits, not all zero");
}

#[test]
fn names_get_ids_outside_the_reserved_range() {
    let id = TriggerId::from_name("checkout.slow").unwrap();
    assert!(id.0 >= TriggerId::FIRST_NAMED);
    assert_eq!(TriggerId::from_name("checkout.slow"), Some(id));
    assert_eq!(TriggerId::PROCESS_DEATH.to_string(), "process_death");
}
