//! Telling the service manager that the agent is ready, works, or is stopping.
//!
//! Called by the daemon. Does nothing where no manager asked to be told.

use sd_notify::NotifyState;
use tracing::warn;

/// Says that clients can connect.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// Says that the agent is shutting down.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says that the loop turns, where the manager watches for that (`WatchdogSec=`). Called at each beat.
pub fn alive() {
    if sd_notify::watchdog_enabled().is_some() {
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(error = %error, "service manager not told");
    }
}
