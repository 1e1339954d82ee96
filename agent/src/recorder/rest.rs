//! How the recorder rests: which regions it looks at by itself, which ring for it, and how soon it looks again.
//!
//! A region whose threads do nothing is *asleep*, one whose threads write and fire nothing *dozes*: it is looked at now and then, and rings
//! at a signal. A region that has just had signals is *awake* and does not ring for more of them: what it fires meanwhile is taken
//! together. Each rings when a good part of what it has ahead is used up, unless the host is pressed and looked at all the time.

use super::{Member, Now, Recorder};
use crate::region::PRESSING_PART;
use backsight_core::units::Nanos;
use backsight_ringbuf::region;

/// How long a region dozes after its threads last took a chunk.
const DOZE: Nanos = Nanos::from_ms(100);
/// How long a region stays awake after its last signals.
const AWAKE: Nanos = Nanos::from_ms(6);
/// How long the host counts as pressed after a process last took much of what it had ahead.
const PRESSED: Nanos = Nanos::from_ms(10);
/// More changes of chunk than there are between two looks at a process that is pressed.
const UNHEARD: u32 = u32::MAX;

/// How a region rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Rest {
    /// Looked at in each round; rings for no signal.
    #[default]
    Awake,
    /// Looked at in each round; rings.
    Dozing,
    /// Looked at in sweeps; rings.
    Asleep,
}

/// How soon another round is wanted: as the region that wants it soonest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Pace {
    /// All regions sleep.
    #[default]
    Asleep,
    /// Some write.
    Dozing,
    /// Some have just fired.
    Awake,
    /// A process took much of what it had ahead, a moment ago.
    Pressed,
}

impl Recorder {
    /// Looks at a region in the next round: its doorbell rang.
    pub fn wake(&mut self, position: u32, now: Now) {
        if let Some(member) = self.member_mut(position).filter(|member| member.is_live) {
            if member.rest != Rest::Awake {
                region::set_sleeping(member.region.store(), false);
                member.rest = Rest::Awake;
            }
            member.last_active = now.time;
        }
    }

    /// Lets regions rest that showed nothing for a while; returns how soon they must be looked at again.
    pub(super) fn settle(&mut self, due: &[u32], now: Now) -> Pace {
        let since = |then: Nanos| now.time.0.saturating_sub(then.0);
        let is_pressed = self.last_pressed.is_some_and(|last| since(last) < PRESSED.0);
        for position in due {
            let Some(member) = self.member_mut(*position) else { continue };
            let rest = if is_pressed || member.last_signal.is_some_and(|last| since(last) < AWAKE.0) {
                Rest::Awake
            } else if since(member.last_active) < DOZE.0 {
                Rest::Dozing
            } else {
                Rest::Asleep
            };
            member.expect_changes(is_pressed);
            self.rest(*position, rest, now);
        }
        let pace = |rest| match rest {
            Rest::Awake => Pace::Awake,
            Rest::Dozing => Pace::Dozing,
            Rest::Asleep => Pace::Asleep,
        };
        let soonest = self.live().map(|(_, member)| pace(member.rest)).max().unwrap_or_default();
        if is_pressed { Pace::Pressed } else { soonest }
    }

    /// Has a region rest as `rest` says, unless something is seen once it rings.
    fn rest(&mut self, position: u32, rest: Rest, now: Now) {
        let Some(member) = self.member_mut(position) else { return };
        let store = member.region.store();
        let was_awake = member.rest == Rest::Awake;
        if rest == Rest::Awake {
            if !was_awake {
                region::set_sleeping(store, false);
            }
        } else if was_awake {
            region::set_sleeping(store, true);
            // Once more after saying so: a signal that was published before its thread saw that we sleep is seen now.
            if member.region.has_signals() {
                region::set_sleeping(store, false);
                (member.rest, member.last_signal) = (Rest::Awake, Some(now.time));
                return;
            }
        }
        member.rest = rest;
    }
}

impl Member {
    /// Has the region ring once a part of what it has ahead is used up, or not where the agent looks soon enough by itself.
    fn expect_changes(&self, is_pressed: bool) {
        let n_ahead: u32 = self.region.n_ahead().iter().sum();
        region::expect_changes(
            self.region.store(),
            if is_pressed { UNHEARD } else { (n_ahead / PRESSING_PART).max(1) },
        );
    }
}
