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

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal => f.write_str("journal"),
            Self::Region(region, of) => {
                write!(f, "region-{}-{}-{}-{}", region.0, of.pid, of.start_time, of.uid)
            }
            Self::Socket(region) => write!(f, "socket-{}", region.0),
            Self::Doorbell(region) => write!(f, "doorbell-{}", region.0),
        }
    }
}

impl FromStr for Name {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        fn number<T: FromStr>(text: Option<&str>) -> Result<T, UnknownName> {
            text.and_then(|text| text.parse().ok()).ok_or(UnknownName)
        }
        let mut parts = text.split('-');
        let kind = parts.next();
        let name = match kind {
            Some("journal") => Self::Journal,
            Some("region") => {
                let region = RegionId(number(parts.next())?);
                let (pid, start_time) = (number(parts.next())?, number(parts.next())?);
                Self::Region(region, Owner { pid, start_time, uid: number(parts.next())? })
            }
            Some("socket") => Self::Socket(RegionId(number(parts.next())?)),
            Some("doorbell") => Self::Doorbell(RegionId(number(parts.next())?)),
            _ => return Err(UnknownName),
        };
        parts.next().is_none().then_some(name).ok_or(UnknownName)
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
        fn other_texts_are_no_names(text in "(journal|region|socket|doorbell|x)?(-[0-9x]{0,3}){0,5}") {
            match text.parse::<Name>() {
                Ok(name) => prop_assert_eq!(name.to_string().parse(), Ok(name)),
                Err(error) => prop_assert_eq!(error, UnknownName),
            }
        }
    }
}
