//! `bks-victim`: writes records until it is killed; see `backsight_tests::victim`.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result};
use backsight::{Context, Settings, SpanId};
use backsight_client::ffi::with_writer;
use backsight_core::record::Kind;
use backsight_tests::victim::truth::Truth;
use backsight_tests::victim::{EPOCH_RECORDS, RECORDS_MAX, Writer};
use clap::Parser;
use std::io::Write as _;
use std::path::PathBuf;

/// Records between two words of the ground truth.
const BATCH: u64 = 16;

/// What the storm tells its victim.
#[derive(Debug, Parser)]
struct Options {
    /// The agent's producer socket.
    #[arg(long)]
    socket: String,
    /// The ground truth.
    #[arg(long)]
    truth: PathBuf,
    /// The victim's number.
    #[arg(long)]
    victim: u64,
    /// Threads that write.
    #[arg(long)]
    threads: u32,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let settings = Settings { socket: Some(&options.socket), service: Some("victim") };
    backsight_tests::harness::session::join(settings)?;
    let truth = Truth::open(&options.truth)?;
    println!("started");
    std::io::stdout().flush().context("say that it started")?;
    let n_batches = RECORDS_MAX / u64::from(options.threads) / BATCH;
    std::thread::scope(|scope| {
        let write = |thread| write_until_killed(&truth, Writer { victim: options.victim, thread }, n_batches);
        let threads: Vec<_> = (1..options.threads).map(|thread| scope.spawn(move || write(thread))).collect();
        let first = write(0);
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))?;
        first
    })
}

/// Writes `n_batches` batches of records in numbered order, a trace for each run of [`EPOCH_RECORDS`], and waits for its end.
fn write_until_killed(truth: &Truth, writer: Writer, n_batches: u64) -> Result<()> {
    let mut payload = Vec::new();
    for batch in 0..n_batches {
        let first = batch * BATCH;
        truth.intend(writer.thread, first + BATCH)?;
        let segment = backsight::begin(&Context::of(writer.trace(first), SpanId(first + 1)));
        for seq in first..first + BATCH {
            writer.payload(seq, &mut payload);
            commit(&payload);
        }
        drop(segment);
        truth.done(writer.thread, first + BATCH)?;
    }
    loop {
        std::thread::park();
    }
}

/// Records `payload` again until it is committed: eight threads at full speed may outrun an agent on a loaded machine, and the storm asks
/// what becomes of what was committed.
fn commit(payload: &[u8]) {
    while with_writer(|log, now| log.record(now, Kind::Raw, 0, [], payload)) != Some(true) {
        std::thread::yield_now();
    }
}

const _: () = assert!(EPOCH_RECORDS.is_multiple_of(BATCH));
