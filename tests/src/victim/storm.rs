//! The kill storm: victims that write at full speed, killed at random instants, and what the agent still has of them.
//!
//! Called by the test (`it/kill.rs`) and the bench (`bench/rec-kill.rs`).

use super::truth::{Progress, Truth};
use super::{EPOCH_RECORDS, Writer};
use crate::harness::agent::{Agent, AgentOptions};
use crate::harness::api::Api;
use crate::harness::binaries;
use anyhow::{Context as _, Result, ensure};
use backsight_proto::admin::{SessionState, SessionStatus, Status, route};
use backsight_proto::trace_json::{PayloadJson, TraceJson};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest that a victim lives after it has started.
const LIFE_MAX: Duration = Duration::from_millis(8);
/// How long the agent may take to have everything of a dead process.
const RECOVER_TIMEOUT: Duration = Duration::from_secs(10);
/// One victim in so many has all of its records compared.
const WHOLE_EVERY: u64 = 8;
/// Threads of a victim, at most.
const THREADS_MAX: u64 = 8;

/// What the storm found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Findings {
    /// Victims killed.
    pub kills: u64,
    /// Records compared with what was written.
    pub records_checked: u64,
    /// Records that were done and are not there.
    pub committed_lost: u64,
    /// Records that nobody wrote, or that are there twice or in part.
    pub garbage_records: u64,
    /// Milliseconds from each kill until the agent had everything.
    pub recover_ms: Vec<f64>,
    /// Chunks that the agent still counts to dead processes that hold no data.
    pub chunks_leaked: u64,
}

/// What a storm kills.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Storm {
    /// Victims, one after another.
    pub n_kills: u64,
    /// Decides their threads, their life times, and when the agent is killed.
    pub seed: u64,
    /// Whether the agent is killed, too, while each of them lives, and comes again before or after its death.
    pub kills_agent: bool,
}

/// How one victim ends.
#[derive(Clone, Copy, Debug)]
struct End {
    /// How long it lives after it has started.
    life: Duration,
    /// When in its life the agent is killed, and whether that comes again before the victim's end.
    agent: Option<(Duration, bool)>,
}

/// Kills what `storm` says.
///
/// # Errors
/// The agent or a victim did not start, or the agent stopped answering.
pub fn run(storm: Storm) -> Result<Findings> {
    let Storm { n_kills, seed, kills_agent } = storm;
    // A few times what a victim may write, so that little has to be taken over each time.
    let mortal = AgentOptions { keep_s: 60, budget_bytes: 128 << 20, ..AgentOptions::default() };
    let mut agent = Agent::start(if kills_agent { mortal } else { AgentOptions::default() })?;
    let mut findings = Findings::default();
    let mut random = seed;
    for victim in 1..=n_kills {
        let n_threads = 1 + next(&mut random) % THREADS_MAX;
        let mut share = || (next(&mut random) % 1000) as f64 / 1000.0;
        let life = LIFE_MAX.mul_f64(share());
        let end = End { life, agent: kills_agent.then(|| (life.mul_f64(share()), share() < 0.5)) };
        kill_one(&mut agent, victim, n_threads as u32, end, &mut findings)
            .with_context(|| format!("victim {victim} of seed {seed}; the agent says: {}", agent.log()))?;
        if victim % 100 == 0 {
            eprintln!("  {victim} killed, {} records checked", findings.records_checked);
        }
    }
    findings.chunks_leaked = leaked(&agent.api())?;
    Ok(findings)
}

fn kill_one(agent: &mut Agent, number: u64, n_threads: u32, end: End, findings: &mut Findings) -> Result<()> {
    let path = agent.folder().join("truth");
    let truth = Truth::create(&path, n_threads)?;
    let mut victim = start(agent, &path, number, n_threads)?;
    let started = Instant::now();
    let (killed, status) = live_and_die(agent, &mut victim, end)?;
    ensure!(status.code().is_none(), "the victim ended by itself with {status}");
    let progress = (0..n_threads).map(|thread| truth.read(thread)).collect::<Result<Vec<Progress>>>()?;
    let api = agent.api();
    wait_for_death(&api, victim.id())?;
    findings.recover_ms.push(killed.elapsed().as_secs_f64() * 1e3);
    findings.kills += 1;
    for (thread, progress) in progress.into_iter().enumerate() {
        let lost_before = findings.committed_lost;
        check_thread(&api, Writer { victim: number, thread: thread as u32 }, progress, findings)?;
        let lost = findings.committed_lost - lost_before;
        if lost > 0 {
            let status: Status = serde_json::from_str(&api.get(route::STATUS)?).context("read the agent's status")?;
            let session = status.sessions.iter().find(|session| session.pid == victim.id());
            eprintln!(
                "  victim {number}, thread {thread} of {n_threads}: {lost} lost, {progress:?}, lived {:?}; the agent: {:?}, {:?}, {session:?}",
                killed - started,
                status.pool,
                status.horizon,
            );
        }
    }
    Ok(())
}

/// Kills the victim when its time has come, and the agent if that is to go, too; returns when, and how the victim ended.
fn live_and_die(agent: &mut Agent, victim: &mut Child, end: End) -> Result<(Instant, ExitStatus)> {
    let agent_killed = end.agent.map_or(Duration::ZERO, |(when, _)| when);
    std::thread::sleep(agent_killed); // the random instants
    if let Some((_, comes_first)) = end.agent {
        agent.kill()?;
        if comes_first {
            agent.start_again(None)?;
        }
    }
    std::thread::sleep(end.life.saturating_sub(agent_killed));
    victim.kill().context("kill the victim")?;
    let killed = Instant::now();
    let status = victim.wait().context("wait for the victim")?;
    if let Some((_, false)) = end.agent {
        agent.start_again(None)?;
    }
    Ok((killed, status))
}

fn start(agent: &Agent, truth: &std::path::Path, number: u64, n_threads: u32) -> Result<Child> {
    let mut command = Command::new(binaries::find("bks-victim")?);
    command.arg("--socket").arg(agent.socket()).arg("--truth").arg(truth);
    command.arg("--victim").arg(number.to_string()).arg("--threads").arg(n_threads.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut victim = command.spawn().with_context(|| format!("start {command:?}"))?;
    let output = victim.stdout.take().context("the victim has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).context("read the victim's first line")?;
    ensure!(line.trim() == "started", "the victim said `{line}`");
    Ok(victim)
}

/// Waits until the agent has seen the death and sealed what was left.
fn wait_for_death(api: &Api, pid: u32) -> Result<()> {
    let deadline = Instant::now() + RECOVER_TIMEOUT;
    loop {
        let status: Status = serde_json::from_str(&api.get(route::STATUS)?).context("read the agent's status")?;
        let live = |session: &SessionStatus| session.state == SessionState::Live && session.pid == pid;
        if !status.sessions.iter().any(live) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the agent has not noticed the death of {pid} in {RECOVER_TIMEOUT:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Compares the last two traces of a thread, where a death can have cut something, and its first one; of one victim in [`WHOLE_EVERY`], all.
fn check_thread(api: &Api, writer: Writer, progress: Progress, findings: &mut Findings) -> Result<()> {
    if progress.intended == 0 {
        return Ok(()); // killed before its first word
    }
    let last = (progress.intended - 1) / EPOCH_RECORDS;
    let is_whole = writer.victim.is_multiple_of(WHOLE_EVERY);
    let mut epochs = if is_whole { (0..=last).collect() } else { vec![0, last.saturating_sub(1), last] };
    epochs.dedup();
    for epoch in epochs {
        let first = epoch * EPOCH_RECORDS;
        let bounds = |n: u64| n.clamp(first, first + EPOCH_RECORDS);
        let (done, intended) = (bounds(progress.done), bounds(progress.intended));
        let found = records(api, writer, first)?;
        compare(writer, first..done, intended, &found, findings);
    }
    Ok(())
}

/// Counts what is missing from `committed`, and what is there that was not written by then.
fn compare(
    writer: Writer,
    committed: std::ops::Range<u64>,
    intended: u64,
    found: &BTreeMap<u64, Vec<Vec<u8>>>,
    findings: &mut Findings,
) {
    let mut wanted = Vec::new();
    let mut gap = false;
    for seq in committed.start..intended {
        writer.payload(seq, &mut wanted);
        let copies = found.get(&seq).map_or(&[][..], Vec::as_slice);
        let whole = copies.len() == 1 && copies[0] == wanted;
        findings.records_checked += 1;
        findings.committed_lost += u64::from(seq < committed.end && !whole);
        // Beyond what was done, records stop somewhere: whole ones up to there, nothing after.
        let cut = seq >= committed.end && copies.is_empty();
        let wrong = !copies.is_empty() && (!whole || gap);
        gap |= cut;
        findings.garbage_records += u64::from(wrong);
    }
    let outside = found.iter().filter(|(seq, _)| !(committed.start..intended).contains(*seq));
    findings.garbage_records += outside.map(|(_, copies)| copies.len() as u64).sum::<u64>();
}

/// Returns the payloads that the agent has of the trace of record `first`, by number.
fn records(api: &Api, writer: Writer, first: u64) -> Result<BTreeMap<u64, Vec<Vec<u8>>>> {
    let path = route::trace(writer.trace(first));
    let answer = api.request("GET", &path, "")?;
    let mut found: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    if answer.status == 404 {
        return Ok(found);
    }
    ensure!(answer.status == 200, "GET {path} answered {}: {}", answer.status, answer.body);
    let trace: TraceJson = serde_json::from_str(&answer.body).with_context(|| format!("read the answer to {path}"))?;
    for payload in trace.visits.iter().flat_map(|visit| &visit.notes.payloads) {
        let bytes = bytes_of(payload)?;
        let number = bytes.first_chunk().map_or(u64::MAX, |seq| u64::from_le_bytes(*seq));
        found.entry(number).or_default().push(bytes);
    }
    Ok(found)
}

fn bytes_of(payload: &PayloadJson) -> Result<Vec<u8>> {
    if let Some(text) = &payload.text {
        return Ok(text.clone().into_bytes());
    }
    let hex = payload.hex.as_deref().unwrap_or("");
    let digits = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or("?"), 16);
    (0..hex.len()).step_by(2).map(digits).collect::<Result<_, _>>().with_context(|| format!("`{hex}` is not hex"))
}

/// Returns the chunks of dead processes that hold no data: open ones, granted ones and those in limbo.
fn leaked(api: &Api) -> Result<u64> {
    let status: Status = serde_json::from_str(&api.get(route::STATUS)?).context("read the agent's status")?;
    let dead = status.sessions.iter().filter(|session| session.state == SessionState::Dead);
    Ok(dead.map(|session| u64::from(session.chunks_open + session.chunks_granted)).sum())
}

/// Returns the next number of the storm's generator (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}
