//! A region as a whole: its header, its control words, and the calibration that the agent writes.

use crate::abi::{ABI_VERSION, Class, REGION_MAGIC, SLOTS_MAX, SPAN_OFFSET, header};
use crate::storage::Storage;
use backsight_core::clock::{CalibrationPoint, ClockSource};
use backsight_core::context::CRUMBS_MAX;
use backsight_core::ids::{AgentId, RegionId, TraceId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::record::Level;
use backsight_core::session::SERVICE_MAX_BYTES;
use backsight_core::sync::Ordering::{Acquire, Relaxed, Release, SeqCst};
use backsight_core::sync::fence;

/// How far breadcrumbs reach: what the agent has configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrumbRules {
    /// Crumbs that travel with a request, 1 to [`CRUMBS_MAX`].
    pub path_len: u8,
    /// Whether responses name the agent of the host that sends them.
    pub in_responses: bool,
}

impl Default for CrumbRules {
    fn default() -> Self {
        Self { path_len: PATH_LEN, in_responses: true }
    }
}

/// Crumbs that travel unless somebody says otherwise: a chain with two dead agents in a row is still followed.
const PATH_LEN: u8 = 3;
/// The bit of the control word that keeps responses from naming an agent.
const NOT_IN_RESPONSES: u64 = 1 << 8;

/// What the agent writes into a new region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The region.
    pub region: RegionId,
    /// The agent.
    pub agent: AgentId,
    /// The process, as the agent sees it.
    pub pid: u32,
    /// The process's start in clock ticks since boot; with `pid` it names the process.
    pub start_time: u64,
    /// The host's boot id.
    pub boot: [u64; 2],
    /// Thread slots that may be used.
    pub n_slots: u32,
    /// The clock of records.
    pub clock: ClockSource,
    /// Its rate.
    pub ticks_per_second: u64,
    /// How far breadcrumbs reach.
    pub crumbs: CrumbRules,
}

/// Memory that is not a region of this ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Smaller than the fixed part.
    #[error("{bytes} B are smaller than a region's fixed part of {SPAN_OFFSET} B")]
    TooSmall {
        /// Its size.
        bytes: u64,
    },
    /// Another magic number.
    #[error("magic {found:#018x} is not a region's")]
    Magic {
        /// What stands there.
        found: u64,
    },
    /// Another major version.
    #[error("region has ABI {}.{}, this build has {}.{}", .found >> 16, .found & 0xffff, ABI_VERSION >> 16, ABI_VERSION & 0xffff)]
    Abi {
        /// Its version.
        found: u32,
    },
}

/// How far the process of a region is, as its agent has left it for the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u64)]
pub enum Ending {
    /// It runs, as far as anybody knew.
    #[default]
    Running = 0,
    /// It runs and has said that it ends on purpose.
    SaidGoodbye = 1,
    /// It has ended on purpose, and was taken leave of.
    Ended = 2,
    /// It has died, and was taken leave of.
    Died = 3,
}

/// Says that the process runs and ends on purpose. Agent only.
pub fn set_said_goodbye<S: Storage>(store: &S) {
    store.word(header::ENDING).store(Ending::SaidGoodbye as u64, Relaxed); // for the agent's successor
}

/// Says how the process has ended, and when. Agent only, once it has taken leave of it.
pub fn set_ended<S: Storage>(store: &S, ending: Ending, ticks: u64) {
    store.word(header::ENDED_AT).store(ticks, Relaxed); // said by what follows
    store.word(header::ENDING).store(ending as u64, Release); // an agent that is killed in between has not said it
}

/// Returns when the process was taken leave of, on the record clock; `None` while it was not, or by an agent that did not say when.
pub fn ended_at<S: Storage>(store: &S) -> Option<u64> {
    let is_over = matches!(ending(store), Ending::Ended | Ending::Died);
    is_over.then(|| store.word(header::ENDED_AT).load(Relaxed)).filter(|ticks| *ticks != 0)
}

/// Returns how far the process was when its agent last said so.
pub fn ending<S: Storage>(store: &S) -> Ending {
    match store.word(header::ENDING).load(Acquire) {
        1 => Ending::SaidGoodbye,
        2 => Ending::Ended,
        3 => Ending::Died,
        _ => Ending::Running,
    }
}

/// Writes the name of the process's service, cut to what its place takes. Agent only, before anyone else has the region.
pub fn set_service<S: Storage>(store: &S, service: &str) {
    let len = service.floor_char_boundary(SERVICE_MAX_BYTES);
    let bytes = service.as_bytes().get(..len).unwrap_or_default();
    for (offset, piece) in (header::SERVICE..).step_by(8).zip(bytes.chunks(8)) {
        let mut word = [0; 8];
        word[..piece.len()].copy_from_slice(piece);
        store.word(offset).store(u64::from_le_bytes(word), Relaxed); // for the agent's successor
    }
    store.word(header::SERVICE_LEN).store(len as u64, Relaxed); // as above
}

/// Returns the name of the process's service; what is no text in it is replaced.
pub fn service<S: Storage>(store: &S) -> String {
    let len = store.word(header::SERVICE_LEN).load(Relaxed).min(SERVICE_MAX_BYTES as u64) as usize;
    let words = (header::SERVICE..).step_by(8).take(len.div_ceil(8));
    let mut bytes: Vec<u8> = words.flat_map(|offset| store.word(offset).load(Relaxed).to_le_bytes()).collect();
    bytes.truncate(len);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes the header of a fresh, zeroed region. Agent only, before anyone else has it.
pub fn initialise<S: Storage>(store: &S, identity: &Identity) {
    // Relaxed: published by the magic number, and by the descriptor that is passed afterwards.
    let put = |offset, value| store.word(offset).store(value, Relaxed);
    put(header::ABI, u64::from(ABI_VERSION));
    put(header::REGION, identity.region.0);
    put(header::AGENT, u64::from(identity.agent.0));
    put(header::PID, u64::from(identity.pid));
    put(header::START_TIME, identity.start_time);
    put(header::BOOT_HI, identity.boot[0]);
    put(header::BOOT_LO, identity.boot[1]);
    put(header::N_SLOTS, u64::from(identity.n_slots.min(SLOTS_MAX)));
    put(header::CLOCK, identity.clock as u64);
    put(header::TICKS_PER_SECOND, identity.ticks_per_second);
    put(header::CRUMBS, pack_crumbs(identity.crumbs));
    put(header::RECORDING, 1);
    put(header::CLASS_FLOOR, Class::Small as u64);
    store.word(header::MAGIC).store(REGION_MAGIC, Release); // pairs with `open`
}

/// Reads the header of a region.
///
/// # Errors
/// Memory that is too small, is no region, or has another major ABI version.
pub fn open<S: Storage>(store: &S) -> Result<Identity, OpenError> {
    if store.bytes() < SPAN_OFFSET {
        return Err(OpenError::TooSmall { bytes: store.bytes() });
    }
    let magic = store.word(header::MAGIC).load(Acquire); // pairs with `initialise`
    if magic != REGION_MAGIC {
        return Err(OpenError::Magic { found: magic });
    }
    let get = |offset| store.word(offset).load(Relaxed); // acquired with the magic number
    let abi = get(header::ABI) as u32;
    if abi >> 16 != ABI_VERSION >> 16 {
        return Err(OpenError::Abi { found: abi });
    }
    Ok(Identity {
        region: RegionId(get(header::REGION)),
        agent: AgentId(get(header::AGENT) as u32),
        pid: get(header::PID) as u32,
        start_time: get(header::START_TIME),
        boot: [get(header::BOOT_HI), get(header::BOOT_LO)],
        n_slots: get(header::N_SLOTS).min(u64::from(SLOTS_MAX)) as u32,
        clock: ClockSource::from_code(get(header::CLOCK) as u32),
        ticks_per_second: get(header::TICKS_PER_SECOND),
        crumbs: crumbs(store),
    })
}

/// Returns the agent whose region this is.
#[inline]
pub fn agent<S: Storage>(store: &S) -> AgentId {
    AgentId(store.word(header::AGENT).load(Relaxed) as u32) // written before anyone else had the region
}

/// Returns how far breadcrumbs reach.
#[inline]
pub fn crumbs<S: Storage>(store: &S) -> CrumbRules {
    let word = store.word(header::CRUMBS).load(Relaxed); // a switch; a late reader goes on as before
    let path_len = match word as u8 {
        0 => PATH_LEN, // an agent of ABI 1.0
        len => len.min(CRUMBS_MAX as u8),
    };
    CrumbRules { path_len, in_responses: word & NOT_IN_RESPONSES == 0 }
}

/// Changes how far breadcrumbs reach. Agent only.
pub fn set_crumbs<S: Storage>(store: &S, rules: CrumbRules) {
    store.word(header::CRUMBS).store(pack_crumbs(rules), Relaxed); // a switch, as above
}

const fn pack_crumbs(rules: CrumbRules) -> u64 {
    rules.path_len as u64 | if rules.in_responses { 0 } else { NOT_IN_RESPONSES }
}

/// Returns whether the agent wants records at all.
#[inline]
pub fn is_recording<S: Storage>(store: &S) -> bool {
    store.word(header::RECORDING).load(Relaxed) != 0 // a switch; a late reader records a little longer
}

/// Turns recording on or off. Agent only.
pub fn set_recording<S: Storage>(store: &S, on: bool) {
    store.word(header::RECORDING).store(u64::from(on), Relaxed); // as above
}

/// What threads leave out, so that the host looks back further: thresholds on the priorities of traces, 0 for nothing.
///
/// A trace is shed where its [`Priority::hash`], with the salt of the decision, is below the threshold: the same traces on every host of a
/// cluster that has the same thresholds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shed {
    /// Traces below it are not recorded at all, by [`Salt::RECORD`].
    pub record: u64,
    /// By detail level, that of [`Level::Normal`] first: traces below lose the records of that level, by [`Salt::DETAIL`].
    ///
    /// They are nested, the last being the largest.
    pub detail: [u64; 3],
}

/// Where the thresholds of the detail levels stand, that of [`Level::Normal`] first.
const DETAIL_THRESHOLDS: [u64; 3] =
    [header::DETAIL_THRESHOLD_1, header::DETAIL_THRESHOLD_2, header::DETAIL_THRESHOLD_3];

/// Says what threads leave out from now on. Agent only.
pub fn set_shed<S: Storage>(store: &S, shed: Shed) {
    // Relaxed, all: advice. A thread that reads an older threshold, or one of each, sheds a little more or less for a moment; what it did
    // leave out stands in its segment's flags, whatever it had read.
    store.word(header::RECORD_THRESHOLD).store(shed.record, Relaxed);
    for (offset, threshold) in DETAIL_THRESHOLDS.into_iter().zip(shed.detail) {
        store.word(offset).store(threshold, Relaxed);
    }
}

/// Returns what threads leave out.
pub fn shed<S: Storage>(store: &S) -> Shed {
    let get = |offset| store.word(offset).load(Relaxed); // only the agent writes them
    Shed { record: get(header::RECORD_THRESHOLD), detail: DETAIL_THRESHOLDS.map(get) }
}

/// Sets the seed of priorities, and which of the cluster's it is. Agent only.
pub fn set_seed<S: Storage>(store: &S, cluster_seed: u64, epoch: u64) {
    // Relaxed, both: advice, as the thresholds that it is for. For a moment two threads may shed different traces.
    store.word(header::CLUSTER_SEED).store(cluster_seed, Relaxed);
    store.word(header::SEED_EPOCH).store(epoch, Relaxed);
}

/// Returns whether `trace` is not to be recorded.
pub(crate) fn sheds_trace<S: Storage>(store: &S, trace: TraceId) -> bool {
    let threshold = store.word(header::RECORD_THRESHOLD).load(Relaxed); // advice, as `set_shed` says
    threshold != 0 && hash(store, trace, Salt::RECORD) < threshold
}

/// Returns where the threshold of `level` stands: records of traces with a lower [`detail_priority`] are left out. `None` for
/// [`Level::Always`].
#[inline(always)]
pub(crate) fn detail_threshold(level: Level) -> Option<u64> {
    (level as usize).checked_sub(1).and_then(|idx| DETAIL_THRESHOLDS.get(idx)).copied()
}

/// Returns the priority that decides which detail `trace` keeps.
pub(crate) fn detail_priority<S: Storage>(store: &S, trace: TraceId) -> u64 {
    hash(store, trace, Salt::DETAIL)
}

/// Returns whether a trace of `detail_priority` is not to have records of `level`.
pub(crate) fn sheds_level<S: Storage>(store: &S, detail_priority: u64, level: Level) -> bool {
    detail_threshold(level).is_some_and(|offset| detail_priority < store.word(offset).load(Relaxed)) // advice, as `set_shed` says
}

fn hash<S: Storage>(store: &S, trace: TraceId, salt: Salt) -> u64 {
    Priority::of(trace, store.word(header::CLUSTER_SEED).load(Relaxed), salt).hash() // advice, as `set_seed` says
}

/// Returns the smallest class that a thread should take next.
pub fn class_floor<S: Storage>(store: &S) -> Class {
    Class::from_code(store.word(header::CLASS_FLOOR).load(Relaxed)).unwrap_or(Class::Small) // advice
}

/// Sets the smallest class that threads take. Agent only.
pub fn set_class_floor<S: Storage>(store: &S, class: Class) {
    store.word(header::CLASS_FLOOR).store(class as u64, Relaxed); // advice
}

/// Says whether the agent waits for the doorbell. Agent only; it looks at every ring once more after saying so.
pub fn set_sleeping<S: Storage>(store: &S, sleeping: bool) {
    store.word(header::SLEEPING).store(u64::from(sleeping), Relaxed); // ordered by the fence
    fence(SeqCst); // before the last look; pairs with the one in `is_agent_sleeping`
}

/// Returns whether the agent must be woken to see the signal that was just published.
pub fn is_agent_sleeping<S: Storage>(store: &S) -> bool {
    fence(SeqCst); // the publishing store comes before this load; pairs with the one in `set_sleeping`
    store.word(header::SLEEPING).load(Relaxed) != 0 // ordered by the fence
}

/// Says after how many changes of chunk the agent wants to be woken: it need not see each of them, only be there before what it has
/// granted is used up. Agent only.
pub fn expect_changes<S: Storage>(store: &S, n: u32) {
    store.word(header::CHANGES).store(n.into(), Relaxed); // a count that threads may lose or count twice: the agent looks by itself, too
}

/// Counts a change of chunk; returns whether the agent must be woken for it: for the last that it expects, and for later ones while it sleeps.
pub fn is_change_awaited<S: Storage>(store: &S) -> bool {
    let changes = store.word(header::CHANGES);
    let left = || changes.load(Relaxed).cast_signed(); // as above
    // Threads that count at the same time go below 0.
    let before = if left() > 0 { changes.fetch_sub(1, Relaxed).cast_signed() } else { 0 };
    before == 1 || (before < 1 && is_agent_sleeping(store))
}

/// Writes the time of the agent's last round, in CLOCK_MONOTONIC nanoseconds. Agent only.
pub fn beat<S: Storage>(store: &S, monotonic_ns: u64) {
    store.word(header::HEARTBEAT).store(monotonic_ns, Relaxed); // a statistic
}

/// Returns the time of the agent's last round, in CLOCK_MONOTONIC nanoseconds.
pub fn heartbeat<S: Storage>(store: &S) -> u64 {
    store.word(header::HEARTBEAT).load(Relaxed) // a statistic
}

/// Ticks without a sign of the agent after which a thread looks, between segments, whether it has gone: three seconds at 3 GHz.
pub const SILENT_TICKS: u64 = 1 << 33;

/// Returns for how long the agent has said nothing at time `now`, in ticks: it calibrates every second.
#[inline(always)]
pub fn silent_ticks<S: Storage>(store: &S, now: u64) -> u64 {
    now.wrapping_sub(store.word(header::CALIBRATION_TICKS).load(Relaxed)) // a hint
}

/// Writes a calibration point. Agent only.
pub fn calibrate<S: Storage>(store: &S, point: CalibrationPoint) {
    let seq = store.word(header::CALIBRATION_SEQ);
    let before = seq.load(Relaxed); // only the agent writes it
    seq.store(before.wrapping_add(1), Relaxed); // ordered before the fields by their release stores
    store.word(header::CALIBRATION_TICKS).store(point.ticks, Release); // after the odd number
    store.word(header::CALIBRATION_REALTIME).store(point.realtime_ns, Release); // as above
    store.word(header::CALIBRATION_MONOTONIC).store(point.monotonic_ns, Release); // as above
    seq.store(before.wrapping_add(2), Release); // pairs with `calibration`
}

/// Returns the newest calibration point, or `None` while there is none or it changes this moment.
pub fn calibration<S: Storage>(store: &S) -> Option<CalibrationPoint> {
    let seq = || store.word(header::CALIBRATION_SEQ).load(Acquire); // pairs with `calibrate`
    let before = seq();
    let get = |offset| store.word(offset).load(Acquire); // not after the second read of the number
    let point = CalibrationPoint {
        ticks: get(header::CALIBRATION_TICKS),
        realtime_ns: get(header::CALIBRATION_REALTIME),
        monotonic_ns: get(header::CALIBRATION_MONOTONIC),
    };
    (before != 0 && before.is_multiple_of(2) && before == seq()).then_some(point)
}

const _: () = assert!(header::SERVICE + SERVICE_MAX_BYTES as u64 <= header::SLOT_BITS);
