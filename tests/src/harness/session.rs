//! A session of this process with an agent of a test's.

use anyhow::{Result, ensure};
use backsight::Settings;
use std::time::{Duration, Instant};

/// How long an agent may take to give a process its region. An application waits for 20 ms, and then records once it has one; a test has
/// to have one, also on a machine that is busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_millis(5);

/// Opens the session of this process, as `service`, with the agent at `socket`.
///
/// # Errors
/// Why there is none.
pub fn open(socket: &str, service: &str) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while let Err(why) = backsight::init(Settings { socket: Some(socket), service: Some(service) }) {
        ensure!(Instant::now() < deadline, "no session: {why}; {:?}", backsight::stats());
        std::thread::sleep(PERIOD);
    }
    Ok(())
}
