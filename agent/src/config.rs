//! The configuration of an agent: a TOML file, every key with a default and a range; flags of the command line override it.
//!
//! Called once, by `main` and by tests. Every error names the file or the command line, the key, the value and what is allowed.

use crate::expressions::EXPRESSIONS_MAX;
use crate::weights::{WEIGHT_MAX, WEIGHTS_MAX, Weights};
use backsight_core::context::CRUMBS_MAX;
use backsight_core::ids::TriggerId;
use backsight_core::units::Bytes;
use backsight_proto::config::{ConfigError, Form, Key, Origin, Value, check_flag, read};
use backsight_proto::tls::TlsFiles;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The smallest pool that works: below it the fixed parts leave no room for data.
pub const POOL_MIN: Bytes = Bytes::mib(8);
/// What the agent takes beside its pool, at most.
const BESIDE: Bytes = Bytes::mib(128);
/// The largest pool: what one counts in, not what a host has.
pub const POOL_MAX: Bytes = Bytes(1 << 50);
/// The longest path of a unix socket that the kernel takes.
pub const SOCKET_PATH_MAX_BYTES: usize = 107;
/// The longest path of a folder; the kernel takes 4095 bytes, with the names of the files in it.
pub const FOLDER_PATH_MAX_BYTES: usize = 4000;

/// Every key, and what it may be set to. The table of `docs/spec/config.md` says why.
pub const KEYS: &[Key] = &[
    Key::new("pool.budget_bytes", Form::Size { min: POOL_MIN, max: POOL_MAX }),
    Key::new("pool.free_memory_share", Form::Share),
    Key::new("pool.kept_share", Form::Share),
    Key::new("pool.process_share", Form::Share),
    Key::new("pool.user_share", Form::Share),
    Key::new("pool.sessions_max", Form::Number { min: 1, max: 65_536 }),
    Key::new("pool.sessions_per_uid", Form::Number { min: 1, max: 65_536 }),
    Key::new("pool.slots_per_process", Form::Number { min: 1, max: 4096 }),
    Key::new("pool.grant_reserve_ms", Form::Number { min: 1, max: 10_000 }),
    Key::new("pool.grant_reserve_share", Form::Share),
    Key::new("horizon.target_ms", Form::Number { min: 1, max: 3_600_000 }),
    Key::new("horizon.record_share", Form::Share),
    Key::new("triggers.rate_per_s", Form::Number { min: 1, max: 1_000_000 }),
    Key::new("triggers.remote_rate_per_s", Form::Number { min: 1, max: 10_000_000 }),
    Key::new("triggers.linger_ms", Form::Number { min: 0, max: 600_000 }),
    Key::new("triggers.lateral_max", Form::Number { min: 0, max: 32 }),
    Key::new("triggers.process_death_ms", Form::Number { min: 0, max: 600_000 }),
    Key::new("triggers.weights", Form::Tables(WEIGHT_KEYS)),
    Key::new("trigger", Form::Tables(TRIGGER_KEYS)),
    Key::new("walk.cpu_share", Form::Share),
    Key::new("crumbs.path_len", Form::Number { min: 1, max: CRUMBS_MAX as u64 }),
    Key::new("crumbs.response", Form::Flag),
    Key::new("uplink.collectors", Form::Peers),
    Key::new("uplink.tls", Form::Table(TLS_KEYS)),
    Key::new("report.bytes_per_s", Form::Size { min: Bytes(0), max: Bytes(1 << 40) }),
    Key::new("report.batch_bytes", Form::Size { min: Bytes::kib(4), max: Bytes::mib(4) }),
    Key::new("report.resend_ms", Form::Number { min: 100, max: 600_000 }),
    Key::new("agent.socket", Form::Path { len_max: SOCKET_PATH_MAX_BYTES }),
    Key::new("agent.admin_socket", Form::Path { len_max: SOCKET_PATH_MAX_BYTES }),
    Key::new("agent.state_dir", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
    Key::new("agent.keep_s", Form::Number { min: 0, max: 3600 }),
    Key::new("agent.id", Form::Text),
];

/// The keys of each table `[[trigger]]`.
const TRIGGER_KEYS: &[Key] = &[Key::new("trigger.name", Form::TriggerName), Key::new("trigger.when", Form::Expression)];

/// The keys of each table `[[triggers.weights]]`.
const WEIGHT_KEYS: &[Key] = &[
    Key::new("triggers.weights.trigger", Form::Trigger),
    Key::new("triggers.weights.weight", Form::Number { min: 1, max: WEIGHT_MAX }),
];

/// The keys of the table `[uplink.tls]`.
const TLS_KEYS: &[Key] = &[
    Key::new("uplink.tls.ca", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
    Key::new("uplink.tls.cert", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
    Key::new("uplink.tls.key", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
];

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory and who may use it.
    pub pool: PoolConfig,
    /// How far back the agent should be able to look.
    pub horizon: HorizonConfig,
    /// What triggers may do.
    pub triggers: TriggersConfig,
    /// The host's own triggers: each fires for spans that are as its expression says.
    pub trigger: Vec<TriggerConfig>,
    /// What reading the records of all spans may take.
    pub walk: WalkConfig,
    /// How far breadcrumbs reach.
    pub crumbs: CrumbsConfig,
    /// Who is told of what fires.
    pub uplink: UplinkConfig,
    /// How kept traces are sent.
    pub report: ReportConfig,
    /// Where this agent lives.
    pub agent: AgentConfig,
}

/// `[pool]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    /// The most memory that the agent uses for data, its index and kept traces. At least 8 MiB.
    pub budget_bytes: u64,
    /// The most of the memory that is available at start; the smaller of both wins.
    pub free_memory_share: f64,
    /// The most of the budget for kept traces.
    pub kept_share: f64,
    /// What one process may hold before its own data is evicted for it.
    pub process_share: f64,
    /// The share of the budget above which the processes of one user evict their own data first while another user's horizon is short.
    pub user_share: f64,
    /// Processes at a time.
    pub sessions_max: u32,
    /// Processes of one user at a time.
    pub sessions_per_uid: u32,
    /// Threads of one process that record at a time.
    pub slots_per_process: u32,
    /// How long a process can go on writing at its present rate when the agent does nothing.
    pub grant_reserve_ms: u64,
    /// The most of the budget that is granted ahead.
    pub grant_reserve_share: f64,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            budget_bytes: Bytes::mib(1024).0,
            free_memory_share: 0.25,
            kept_share: 0.40,
            process_share: 0.50,
            user_share: 0.75,
            sessions_max: 4096,
            sessions_per_uid: 1024,
            slots_per_process: 4096,
            grant_reserve_ms: 250,
            grant_reserve_share: 0.10,
        }
    }
}

/// `[horizon]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HorizonConfig {
    /// The age that data should reach before it is overwritten.
    pub target_ms: u64,
    /// The share of traces that is recorded.
    pub record_share: f64,
}

impl Default for HorizonConfig {
    fn default() -> Self {
        Self { target_ms: 10_000, record_share: 1.0 }
    }
}

/// `[triggers]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TriggersConfig {
    /// How often one trigger may fire.
    pub rate_per_s: u64,
    /// How often the coordinator may ask for traces, for all triggers together.
    pub remote_rate_per_s: u64,
    /// How long a triggered trace stays triggered, so that later segments follow.
    pub linger_ms: u64,
    /// Traces that one trigger may name beside its own.
    pub lateral_max: usize,
    /// How far back the requests of a dead process are looked for; 0 turns the trigger off.
    pub process_death_ms: u64,
    /// The triggers that have a larger share than others of what is kept and of what is sent.
    pub weights: Vec<WeightConfig>,
}

impl TriggersConfig {
    /// Returns the weights of all triggers.
    pub fn weights(&self) -> Weights {
        let of = |of: &WeightConfig| Some((TriggerId::from_text(&of.trigger)?, of.weight));
        self.weights.iter().filter_map(of).collect()
    }
}

impl Default for TriggersConfig {
    fn default() -> Self {
        Self {
            rate_per_s: 10_000,
            remote_rate_per_s: 50_000,
            linger_ms: 30_000,
            lateral_max: 32,
            process_death_ms: 5_000,
            weights: Vec::new(),
        }
    }
}

/// `[[triggers.weights]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightConfig {
    /// The trigger, as people call it.
    pub trigger: String,
    /// How many times the share of one that is not listed it gets, where both want more than there is.
    pub weight: u64,
}

/// `[[trigger]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerConfig {
    /// Its name, of which its id is the hash.
    #[serde(default = "unnamed")]
    pub name: String,
    /// The expression by which it fires: `docs/spec/trigger-expressions.md`.
    pub when: String,
}

fn unnamed() -> String {
    TriggerId::EXPRESSION.to_string()
}

/// `[walk]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalkConfig {
    /// The most of a core that reading sealed chunks takes; a back-test takes as much besides.
    pub cpu_share: f64,
}

impl Default for WalkConfig {
    fn default() -> Self {
        Self { cpu_share: 0.05 }
    }
}

/// `[uplink]`
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UplinkConfig {
    /// The collectors to dial, as `http://host:port`, with certificates as `https://host:port`; all agents have the same.
    pub collectors: Vec<String>,
    /// The certificates by which agent and collector know each other; none to talk to whoever answers.
    pub tls: Option<TlsFiles>,
}

impl UplinkConfig {
    /// Checks that the collectors, which `origin` set, are dialled as the certificates ask for.
    fn check(&self, origin: Origin<'_>) -> Result<(), ConfigError> {
        for url in &self.collectors {
            let allowed = match (url.starts_with("https://"), &self.tls) {
                (true, None) => "http://, or https:// with certificates, which [uplink.tls] names",
                (false, Some(_)) => "https:// where [uplink.tls] names certificates: http:// would not use them",
                _ => continue,
            };
            return Err(ConfigError::beside(origin, "uplink.collectors", url, allowed.to_owned()));
        }
        Ok(())
    }
}

/// `[report]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    /// The most that is sent in a second; 0 for no limit.
    pub bytes_per_s: u64,
    /// The size of a batch.
    pub batch_bytes: u64,
    /// How long an acknowledgement may take before everything is sent again.
    pub resend_ms: u64,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { bytes_per_s: 0, batch_bytes: 131_072, resend_ms: 2_000 }
    }
}

/// `[crumbs]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrumbsConfig {
    /// Crumbs that travel with a request.
    pub path_len: u8,
    /// Whether responses name this agent to their callers.
    pub response: bool,
}

impl Default for CrumbsConfig {
    fn default() -> Self {
        Self { path_len: 3, response: true }
    }
}

/// `[agent]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// Where producers connect.
    pub socket: PathBuf,
    /// Where metrics, health and commands are served.
    pub admin_socket: PathBuf,
    /// Where the agent keeps its id.
    pub state_dir: PathBuf,
    /// How long, in seconds, a keeper holds what was recorded once the agent has gone, for the next one to go on with; 0 for no keeper.
    pub keep_s: u64,
    /// The agent's name, of which its id is the hash; empty to take the machine's id and the socket's path.
    pub id: String,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            socket: "/run/backsight/agent.sock".into(),
            admin_socket: "/run/backsight/admin.sock".into(),
            state_dir: "/var/lib/backsight/agent".into(),
            keep_s: 60,
            id: String::new(),
        }
    }
}

/// What the command line may override.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// See [`AgentConfig::socket`].
    pub socket: Option<PathBuf>,
    /// See [`AgentConfig::admin_socket`].
    pub admin_socket: Option<PathBuf>,
    /// See [`AgentConfig::state_dir`].
    pub state_dir: Option<PathBuf>,
    /// See [`PoolConfig::budget_bytes`].
    pub budget_bytes: Option<u64>,
    /// See [`UplinkConfig::collectors`]; empty overrides nothing.
    pub collectors: Vec<String>,
    /// See [`AgentConfig::keep_s`].
    pub keep_s: Option<u64>,
}

impl Config {
    /// Reads `file`, or takes the defaults where there is none; then applies `overrides`. What either of them says is checked by itself.
    ///
    /// # Errors
    /// A file that cannot be read or understood, or a value that is not allowed.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let mut config = file.map_or_else(|| Ok(Self::default()), |path| read(path, KEYS))?;
        let of_flag = [&overrides.socket, &overrides.admin_socket].map(Option::is_some);
        let dials_by_flag = !overrides.collectors.is_empty();
        config.apply(overrides)?;
        if config.agent.socket == config.agent.admin_socket {
            return Err(config.one_socket(file, of_flag));
        }
        if let Some(file) = file {
            config.check_triggers(file)?;
            config.check_weights(file)?;
        }
        let of_collectors = file.filter(|_| !dials_by_flag).map_or(Origin::CommandLine, Origin::File);
        config.uplink.check(of_collectors)?;
        Ok(config)
    }

    /// Checks what the file's triggers are beside each other.
    fn check_triggers(&self, file: &Path) -> Result<(), ConfigError> {
        let names = self.trigger.iter().map(|of| (&*of.name, &of.name));
        check_listed(file, "trigger.name", names, EXPRESSIONS_MAX, "a name that no other trigger of the file has")
    }

    /// Checks what the file's weights are beside each other.
    fn check_weights(&self, file: &Path) -> Result<(), ConfigError> {
        let weighed = self.triggers.weights.iter().map(|of| (&*of.trigger, TriggerId::from_text(&of.trigger)));
        check_listed(file, "triggers.weights.trigger", weighed, WEIGHTS_MAX, "a trigger that has no other weight")
    }

    fn apply(&mut self, overrides: Overrides) -> Result<(), ConfigError> {
        if let Some(bytes) = overrides.budget_bytes {
            check_flag(KEYS, "pool.budget_bytes", &Value::Integer(bytes.into()))?;
            self.pool.budget_bytes = bytes;
        }
        if let Some(keep_s) = overrides.keep_s {
            check_flag(KEYS, "agent.keep_s", &Value::Integer(keep_s.into()))?;
            self.agent.keep_s = keep_s;
        }
        let paths = [
            ("agent.socket", overrides.socket, &mut self.agent.socket),
            ("agent.admin_socket", overrides.admin_socket, &mut self.agent.admin_socket),
            ("agent.state_dir", overrides.state_dir, &mut self.agent.state_dir),
        ];
        for (key, given, path) in paths {
            let Some(given) = given else { continue };
            check_flag(KEYS, key, &Value::Text(given.as_os_str()))?;
            *path = given;
        }
        if !overrides.collectors.is_empty() {
            let urls = overrides.collectors.iter().map(|url| Value::Text(url.as_ref()));
            check_flag(KEYS, "uplink.collectors", &Value::List(urls.collect()))?;
            self.uplink.collectors = overrides.collectors;
        }
        Ok(())
    }

    /// Says that both sockets have one path, of the one that came last: a flag, or the admin socket of the file.
    fn one_socket(&self, file: Option<&Path>, of_flag: [bool; 2]) -> ConfigError {
        let (key, other) = match of_flag {
            [true, false] => ("agent.socket", "agent.admin_socket"),
            _ => ("agent.admin_socket", "agent.socket"),
        };
        let origin = match file {
            Some(path) if of_flag == [false, false] => Origin::File(path),
            _ => Origin::CommandLine,
        };
        let path = self.agent.socket.to_string_lossy();
        ConfigError::beside(origin, key, &path, format!("another path than {other}"))
    }
}

/// Checks what `file` lists as `key`, each as it was written and as it is told apart: that it is not too much, and that nothing comes twice, where
/// `once` is allowed.
fn check_listed<'a, T: Ord>(
    file: &Path,
    key: &'static str,
    listed: impl Iterator<Item = (&'a str, T)>,
    n_max: usize,
    once: &str,
) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for (idx, (written, is)) in listed.enumerate() {
        let allowed = if idx >= n_max {
            format!("one of the first {n_max}")
        } else if !seen.insert(is) {
            once.to_owned()
        } else {
            continue;
        };
        return Err(ConfigError::beside(Origin::File(file), key, written, allowed));
    }
    Ok(())
}

/// The memory that an agent may use, and whether that is less than was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes for regions, index and kept traces.
    pub bytes: Bytes,
    /// The memory that was available, where it is the smaller bound.
    pub clamped_by: Option<Bytes>,
}

/// Returns the budget on a host with `available` bytes of free memory; never below [`POOL_MIN`].
pub fn budget(pool: &PoolConfig, available: Bytes) -> Budget {
    let share = Bytes((available.0 as f64 * pool.free_memory_share) as u64).max(POOL_MIN);
    if share.0 < pool.budget_bytes {
        return Budget { bytes: share, clamped_by: Some(available) };
    }
    Budget { bytes: Bytes(pool.budget_bytes), clamped_by: None }
}

/// Returns the most that the budget may be where the agent may have `limit` bytes in all.
pub fn budget_within(limit: Bytes) -> Bytes {
    Bytes(limit.0 - BESIDE.0.min(limit.0 / 2)).max(POOL_MIN)
}

/// Returns MemAvailable of `/proc/meminfo`'s text.
pub fn available_memory(meminfo: &str) -> Option<Bytes> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(Bytes::kib(line.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests;
