//! The process: its settings, and how its recording stands.

use crate::autotrigger::tell;
use crate::text;
use backsight_client::{Missing, Settings};
use std::ffi::c_char;

/// What a program may say instead of the environment.
#[repr(C)]
pub struct bks_settings {
    /// `sizeof(struct bks_settings)`, so that fields can be added.
    size: u64,
    socket: *const c_char,
    service: *const c_char,
}

/// How this process's recording stands.
#[repr(C)]
pub struct bks_stats {
    /// `sizeof(struct bks_stats)`, written by the caller.
    size: u64,
    region: u64,
    drops: [u64; 16],
    agent: u32,
    /// 0 with a session, else why there is none.
    missing: i32,
    recording: u32,
    threads: u32,
    why: [c_char; 256],
}

/// What each of them had in the first version: a program that was built then says so, and is read and written no further.
const SETTINGS_BYTES: u64 = 24;
const STATS_BYTES: u64 = 416;

const _: () =
    assert!(size_of::<bks_settings>() as u64 == SETTINGS_BYTES && size_of::<bks_stats>() as u64 == STATS_BYTES);

/// Fixes who and where we are and opens the session; returns 0, or why there is none. Settings of no size fix nothing.
///
/// # Safety
/// `settings` is null or points to a `bks_settings` of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_init(settings: *const bks_settings) -> i32 {
    // SAFETY: null, or valid, says the caller.
    let given = unsafe { settings.as_ref() };
    if given.is_some_and(|given| given.size < SETTINGS_BYTES) {
        return code(Missing::Settings);
    }
    let settings = match given {
        Some(given) => Settings {
            // SAFETY: null or NUL-terminated, says the caller.
            socket: unsafe { text::c_str(given.socket) },
            // SAFETY: as above.
            service: unsafe { text::c_str(given.service) },
        },
        None => Settings::default(),
    };
    backsight_client::init(settings).map_or_else(code, |()| 0)
}

/// Has the threads of this process leave last words when a fatal signal ends it.
#[unsafe(no_mangle)]
pub extern "C" fn bks_leave_last_words() {
    backsight_client::last_words::install();
}

/// Says that this process ends well.
#[unsafe(no_mangle)]
pub extern "C" fn bks_goodbye() {
    backsight_client::goodbye();
}

/// Writes how recording stands to `out`; returns 0, or -1 where `out` is null or smaller than it should be.
///
/// # Safety
/// `out` is null or points to a `bks_stats` of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_stats(out: *mut bks_stats) -> i32 {
    // SAFETY: null, or valid, says the caller.
    let Some(out) = (unsafe { out.as_mut() }) else { return -1 };
    if out.size < STATS_BYTES {
        return -1;
    }
    let stats = backsight_client::stats();
    out.drops = [0; 16];
    for (reason, n) in &stats.drops {
        if let Some(counter) = out.drops.get_mut(*reason as usize) {
            *counter = *n;
        }
    }
    (out.recording, out.threads) = (u32::from(stats.recording), stats.threads);
    (out.agent, out.region, out.missing) = (0, 0, 0);
    let why = match stats.session {
        Ok((agent, region)) => {
            (out.agent, out.region) = (agent.0, region.0);
            String::new()
        }
        Err(missing) => {
            out.missing = code(missing);
            match missing {
                Missing::Refused if !stats.refusal.is_empty() => format!("{missing}: {}", stats.refusal),
                _ => missing.to_string(),
            }
        }
    };
    let (target, room) = (out.why.as_mut_ptr(), out.why.len());
    // SAFETY: the field itself.
    unsafe { tell(&why, target, room) };
    0
}

/// Returns the number of the header's `BKS_MISSING_*`.
const fn code(missing: Missing) -> i32 {
    match missing {
        Missing::NotTried => 1,
        Missing::Disabled => 2,
        Missing::NoAgent(_) => 3,
        Missing::Refused => 4,
        Missing::Abi { .. } => 5,
        Missing::NoMemory(_) => 6,
        Missing::Protocol => 7,
        Missing::Timeout => 8,
        Missing::Settings => 10,
    }
}
