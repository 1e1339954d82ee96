//! Claims about masks: what varies is one key, what is a name stays.

use super::{KEY_MAX_BYTES, masked, n_varying};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

#[test]
fn digits_hex_and_quoted_parts_vary_and_names_stay() {
    let check = |text, key| assert_eq!(masked(text), key);
    check("cache.miss", "cache.miss");
    check("GET /api/v1/users/4711", "GET /api/v1/users/#");
    check("http2 at p99 of disk01", "http2 at p99 of disk01");
    check("shard 12 took 35ms", "shard # took #ms");
    check("user1234 left", "user# left");
    check("id 550e8400-e29b-41d4-a716-446655440000", "id #-#-#-#-#");
    check("at 0x7f and 0xff12, 0Xa", "at # and #, #");
    check("coffee, face, 1e9, dead", "coffee, face, #e9, dead");
    check("file \"a b.txt\" and `c` and 'd e' gone", "file \"#\" and `#` and '#' gone");
    check("it isn't 'n 5", "it isn't 'n #");
    check("they don't say \"why, don't", "they don't say \"why, don't");
    check("\"\" and ''", "\"\" and ''");
    check("größe 5 \u{1f600} '\u{1f600}'", "größe # \u{1f600} '#'");
    check("", "");
}

#[test]
fn names_of_which_little_varies_come_first() {
    assert_eq!(["GET /pay", "GET /v1/pay", "GET /pay/7", "GET /pay/4711"].map(n_varying), [0, 0, 1, 4]);
}

proptest! {
    /// For any text: its key is short, and texts that differ in a number only have one key.
    #[test]
    fn any_text_has_a_short_key(before in "\\PC{0,40}", number in 0_u64.., other in 0_u64.., after in "\\PC{0,400}") {
        prop_assert!(masked(&after).len() <= KEY_MAX_BYTES);
        prop_assert!(n_varying(&after) as usize <= after.len());
        let key = |number| masked(&format!("{before} {number} ")).into_owned();
        prop_assert_eq!(key(number), key(other));
    }

    /// For any text of quotes, letters and digits: masking ends, and keeps whole characters.
    #[test]
    fn odd_quotes_are_taken(text in "[\"'`a-f0-9ü ]{0,600}") {
        prop_assert!(masked(&text).len() <= KEY_MAX_BYTES);
    }
}
