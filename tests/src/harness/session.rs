//! A session with an agent, on a machine that has much else to do.

use anyhow::{Result, anyhow};
use backsight::{Missing, Settings};
use std::time::{Duration, Instant};

/// How long an agent may take to answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Opens this process's session. The client holds up its program for 20 ms at most and listens again later, which a program need not notice;
/// one that is nothing without a session waits.
///
/// # Errors
/// There is no agent, or it refuses, or says nothing in time.
pub fn join(settings: Settings<'_>) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match backsight::init(settings) {
            Err(Missing::Timeout) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            joined => return joined.map_err(|why| anyhow!("no session: {why}; {:?}", backsight::stats())),
        }
    }
}
