//! What descriptors are held under: what each is, and of which region. Names are the manager's or the keeper's to keep, out of reach of the
//! processes whose memory they name, so what stands in them is believed.

use backsight_core::ids::RegionId;
use std::fmt;
use std::str::FromStr;

/// A process, as the agent that met it knew it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Owner {
    /// Its id in the agent's namespace.
    pub pid: u32,
    /// Its start in clock ticks since boot.
    pub start_time: u64,
    /// Its user.
    pub uid: u32,
}

/// A name: at most 255 characters, no colon, as `sd_notify` wants it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Name {
    /// What an agent leaves to its successor.
    Journal,
    /// A region, and whose it is.
    Region(RegionId, Owner),
    /// The socket of its process.
    Socket(RegionId),
    /// The eventfd by which that wakes the agent.
    Doorbell(RegionId),
}

/// A name that no agent gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a descriptor of ours")]
pub struct UnknownName;

/// A number in digits of base 62: a successor is told all names in one variable, so they are short.
#[derive(Clone, Copy)]
struct Base62(u64);

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl fmt::Display for Base62 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 11]; // as many as 2^64 - 1 has
        let (mut left, mut at) = (self.0, text.len());
        while at == text.len() || left > 0 {
            at -= 1;
            text[at] = DIGITS[(left % 62) as usize];
            left /= 62;
        }
        f.write_str(str::from_utf8(&text[at..]).unwrap_or_default())
    }
}

/// Returns a number that is written so.
fn number(text: Option<&str>) -> Result<u64, UnknownName> {
    let digit = |byte| DIGITS.iter().position(|digit| *digit == byte).map(|value| value as u64);
    let add = |sum: u64, byte| sum.checked_mul(62)?.checked_add(digit(byte)?);
    text.filter(|text| !text.is_empty()).and_then(|text| text.bytes().try_fold(0, add)).ok_or(UnknownName)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal => f.write_str("j"),
            Self::Region(region, of) => {
                let [pid, uid] = [of.pid, of.uid].map(|of| Base62(of.into()));
                write!(f, "r{}-{pid}-{}-{uid}", Base62(region.0), Base62(of.start_time))
            }
            Self::Socket(region) => write!(f, "s{}", Base62(region.0)),
            Self::Doorbell(region) => write!(f, "d{}", Base62(region.0)),
        }
    }
}

impl FromStr for Name {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        if text == "j" {
            return Ok(Self::Journal);
        }
        let (kind, numbers) = text.split_at_checked(1).ok_or(UnknownName)?;
        let mut numbers = numbers.split('-');
        let region = RegionId(number(numbers.next())?);
        let name = match kind {
            "r" => {
                let id = |of| u32::try_from(of).map_err(|_| UnknownName);
                let (pid, start_time) = (id(number(numbers.next())?)?, number(numbers.next())?);
                Self::Region(region, Owner { pid, start_time, uid: id(number(numbers.next())?)? })
            }
            "s" => Self::Socket(region),
            "d" => Self::Doorbell(region),
            _ => return Err(UnknownName),
        };
        numbers.next().is_none().then_some(name).ok_or(UnknownName)
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, Owner, UnknownName};
    use backsight_core::ids::RegionId;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    fn names() -> impl Strategy<Value = Name> {
        let region = || any::<u64>().prop_map(RegionId);
        let owner = (any::<u32>(), any::<u64>(), any::<u32>());
        let owner = owner.prop_map(|(pid, start_time, uid)| Owner { pid, start_time, uid });
        prop_oneof![
            (region(), owner).prop_map(|(region, owner)| Name::Region(region, owner)),
            region().prop_map(Name::Socket),
            region().prop_map(Name::Doorbell),
            any::<bool>().prop_map(|_| Name::Journal),
        ]
    }

    proptest! {
        /// For every name, its text is one that the manager takes, and it is read back.
        #[test]
        fn names_survive(name in names()) {
            let text = name.to_string();
            prop_assert!(text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
            prop_assert_eq!(text.parse(), Ok(name));
        }

        /// For every text, it is a name that would be written so, or none.
        #[test]
        fn other_texts_are_no_names(text in "[jrsdx]?([0-9A-Za-z_]{0,12}-?){0,5}") {
            match text.parse::<Name>() {
                Ok(name) => prop_assert_eq!(name.to_string().parse(), Ok(name)),
                Err(error) => prop_assert_eq!(error, UnknownName),
            }
        }
    }
}
