//! Descriptors that the service manager passes by number: `LISTEN_FDS` from number 3 on, with their names.

use super::Survivors;
use super::name::Name;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The first number.
const FIRST: RawFd = 3;

/// Takes the descriptors that are meant for this process; those whose names are not ours are closed. Once, before anything else is opened:
/// afterwards the numbers are anybody's.
pub fn take() -> Survivors {
    let Ok(numbers) = sd_notify::listen_fds_with_names() else { return Vec::new() };
    let named = |(number, name): (RawFd, String)| {
        let fd = owned(number)?; // close-on-exec already
        Some((name.parse::<Name>().ok()?, fd))
    };
    numbers.filter_map(named).collect()
}

#[allow(unsafe_code, reason = "the manager passes descriptors by number")]
fn owned(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the manager opened it for this process, says LISTEN_PID, and nothing else here knows the number.
    (number >= FIRST).then(|| unsafe { OwnedFd::from_raw_fd(number) })
}
