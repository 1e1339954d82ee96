//! A hash of a token, as text: Argon2id in the form of the password hashing competition.
//!
//! Read and written by [`super`]. What a hash may cost is bounded: the file says it, and a request pays it.
//!
//! # Source
//! RFC 9106; "PHC string format" for the text.

use argon2::{Algorithm, Argon2, Params, Version};
use backsight_proto::base64;
use ring::hmac;
use std::fmt;
use std::str::FromStr;

/// Memory, passes and lanes of hashes that are made: OWASP's first choice. Tokens are random, so that this is a second line of defence.
const COST: Cost = Cost { memory_kib: 19_456, passes: 2, lanes: 1 };
/// The most of each that is read.
const COST_MAX: Cost = Cost { memory_kib: 262_144, passes: 16, lanes: 8 };
const DIGEST_BYTES: usize = 32;
/// The longest salt or digest that is read.
const PART_MAX_BYTES: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A hash.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Phc {
    cost: Cost,
    pub(super) salt: Vec<u8>,
    digest: Vec<u8>,
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phc").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Phc {
    /// Returns the hash of `token` with `salt`; `None` where there is no memory for it.
    pub(super) fn of(token: &[u8], salt: &[u8]) -> Option<Self> {
        Some(Self { cost: COST, salt: salt.to_vec(), digest: digest(COST, token, salt, DIGEST_BYTES)? })
    }

    /// Returns whether it is the hash of `token`. How much of it is right does not show in the time that this takes.
    pub(super) fn is_of(&self, token: &[u8], key: &hmac::Key) -> bool {
        let digest = digest(self.cost, token, &self.salt, self.digest.len());
        let expected = hmac::sign(key, &self.digest);
        digest.is_some_and(|digest| hmac::verify(key, &digest, expected.as_ref()).is_ok())
    }
}

fn digest(cost: Cost, token: &[u8], salt: &[u8], len: usize) -> Option<Vec<u8>> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(len)).ok()?;
    let mut digest = vec![0; len];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(token, salt, &mut digest).ok()?;
    Some(digest)
}

impl fmt::Display for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let text = |bytes: &[u8]| base64::encode(bytes).trim_end_matches('=').to_owned();
        let (salt, digest) = (text(&self.salt), text(&self.digest));
        write!(f, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${digest}")
    }
}

impl FromStr for Phc {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let other = || "expected a hash as $argon2id$v=19$m=19456,t=2,p=1$salt$digest".to_owned();
        let ["", "argon2id", "v=19", cost, salt, digest] = text.split('$').collect::<Vec<_>>()[..] else {
            return Err(other());
        };
        let part = |text: &str| base64::decode(text).filter(|bytes| (8..=PART_MAX_BYTES).contains(&bytes.len()));
        let (salt, digest) = part(salt).zip(part(digest)).ok_or_else(other)?;
        Ok(Self { cost: self::cost(cost).ok_or_else(other)?, salt, digest })
    }
}

/// Returns what `m=..,t=..,p=..` says, unless it is too much.
fn cost(text: &str) -> Option<Cost> {
    let [memory, passes, lanes] = text.split(',').collect::<Vec<_>>()[..] else { return None };
    let number = |text: &str, name: &str, max: u32| {
        let number = text.strip_prefix(name)?.parse().ok()?;
        (1..=max).contains(&number).then_some(number)
    };
    Some(Cost {
        memory_kib: number(memory, "m=", COST_MAX.memory_kib)?,
        passes: number(passes, "t=", COST_MAX.passes)?,
        lanes: number(lanes, "p=", COST_MAX.lanes)?,
    })
}
