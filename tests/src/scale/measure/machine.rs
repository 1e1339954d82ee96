//! What the machine does for everybody: how long a thread that sleeps takes to wake.

use super::{Effort, Values};
use anyhow::{Context as _, Result, anyhow};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Pause between two wakes, so that the other thread, and its core, really sleep.
const PAUSE: Duration = Duration::from_millis(1);
/// CPU time of a byte through a socket, both ways, is in the time as well; some microseconds of it.
const N_WAKES: usize = 500;

/// Returns how long a byte to a sleeping thread and its answer take, halved.
pub(super) fn measure(effort: Effort) -> Result<Values> {
    let (mut near, mut far) = UnixStream::pair().context("make a pair of sockets")?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let mut byte = [0];
        while far.read(&mut byte)? == 1 {
            far.write_all(&byte)?;
        }
        Ok(())
    });
    let mut took_us = Vec::new();
    for _ in 0..effort.of(N_WAKES) {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        near.write_all(&[1]).context("wake the other thread")?;
        near.read_exact(&mut [0]).context("wait for the other thread")?;
        took_us.push(start.elapsed().as_secs_f64() * 1e6 / 2.0);
    }
    drop(near);
    echo.join().map_err(|_| anyhow!("the other thread panicked"))?.context("echo")?;
    took_us.sort_by(f64::total_cmp);
    // The lower quartile: that of a machine on which nobody else wants the core.
    let latency_us = crate::bench::stats::quantile(&took_us, 0.25).context("nothing was measured")?;
    Ok(Values::from([("wake_latency_us", latency_us)]))
}
