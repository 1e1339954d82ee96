//! Telling the service manager that the agent is ready, or stopping.
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

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(error = %error, "service manager not told");
    }
}
