//! The configuration of an agent: a TOML file, every key with a default and a range; flags of the command line override it.
//!
//! Called once, by `main` and by tests. Every error names the file, the key, the value and what is allowed.

use backsight_core::context::CRUMBS_MAX;
use backsight_core::units::Bytes;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The smallest pool that works: below it the fixed parts leave no room for data.
pub const POOL_MIN: Bytes = Bytes::mib(8);
/// The longest path of a unix socket that the kernel takes.
pub const SOCKET_PATH_MAX_BYTES: usize = 107;

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
}

impl Default for HorizonConfig {
    fn default() -> Self {
        Self { target_ms: 10_000 }
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
}

impl Default for TriggersConfig {
    fn default() -> Self {
        Self {
            rate_per_s: 10_000,
            remote_rate_per_s: 50_000,
            linger_ms: 30_000,
            lateral_max: 32,
            process_death_ms: 5_000,
        }
    }
}

/// `[uplink]`
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UplinkConfig {
    /// The collectors to dial, as `http://host:port`. None or one.
    pub collectors: Vec<String>,
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
    /// The agent's name, of which its id is the hash; empty to take the machine's id and the socket's path.
    pub id: String,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            socket: "/run/backsight/agent.sock".into(),
            admin_socket: "/run/backsight/admin.sock".into(),
            state_dir: "/var/lib/backsight/agent".into(),
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
    /// See [`UplinkConfig::collectors`].
    pub collector: Option<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, has an unknown key, or a value of another type.
    #[error("{}: {reason}", .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what, with the line.
        reason: String,
    },
    /// A value out of range.
    #[error("{origin}: {key} is {value}, allowed is {allowed}")]
    Range {
        /// The file, or the command line.
        origin: String,
        /// The key.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

impl Config {
    /// Reads `file`, or takes the defaults where there is none; then applies `overrides` and checks every value.
    ///
    /// # Errors
    /// A file that cannot be read or understood, or a value out of range.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let mut config = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
                let parse_error =
                    |e: toml::de::Error| ConfigError::Parse { path: path.to_owned(), reason: e.to_string() };
                toml::from_str(&text).map_err(parse_error)?
            }
            None => Self::default(),
        };
        overrides.budget_bytes.into_iter().for_each(|bytes| config.pool.budget_bytes = bytes);
        overrides.socket.into_iter().for_each(|path| config.agent.socket = path);
        overrides.admin_socket.into_iter().for_each(|path| config.agent.admin_socket = path);
        overrides.state_dir.into_iter().for_each(|path| config.agent.state_dir = path);
        overrides.collector.into_iter().for_each(|url| config.uplink.collectors = vec![url]);
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: Option<&Path>) -> Result<(), ConfigError> {
        let check = Check { origin: file.map_or_else(|| "command line".into(), |path| path.display().to_string()) };
        let pool = &self.pool;
        if pool.budget_bytes < POOL_MIN.0 {
            let (value, allowed) = (Bytes(pool.budget_bytes), format!("at least {POOL_MIN} ({} B)", POOL_MIN.0));
            return Err(check.error("pool.budget_bytes", format!("{} B ({value})", pool.budget_bytes), allowed));
        }
        check.share("pool.free_memory_share", pool.free_memory_share)?;
        check.share("pool.kept_share", pool.kept_share)?;
        check.share("pool.process_share", pool.process_share)?;
        check.share("pool.grant_reserve_share", pool.grant_reserve_share)?;
        check.number("pool.sessions_max", pool.sessions_max.into(), 1, 65_536)?;
        check.number("pool.sessions_per_uid", pool.sessions_per_uid.into(), 1, 65_536)?;
        check.number("pool.slots_per_process", pool.slots_per_process.into(), 1, 4096)?;
        check.number("pool.grant_reserve_ms", pool.grant_reserve_ms, 1, 10_000)?;
        check.number("horizon.target_ms", self.horizon.target_ms, 1, 3_600_000)?;
        check.number("triggers.rate_per_s", self.triggers.rate_per_s, 1, 1_000_000)?;
        check.number("triggers.remote_rate_per_s", self.triggers.remote_rate_per_s, 1, 10_000_000)?;
        check.number("triggers.linger_ms", self.triggers.linger_ms, 0, 600_000)?;
        check.number("triggers.lateral_max", self.triggers.lateral_max as u64, 0, 32)?;
        check.number("triggers.process_death_ms", self.triggers.process_death_ms, 0, 600_000)?;
        check.number("crumbs.path_len", self.crumbs.path_len.into(), 1, CRUMBS_MAX as u64)?;
        check.number("report.bytes_per_s", self.report.bytes_per_s, 0, 1 << 40)?;
        check.number("report.batch_bytes", self.report.batch_bytes, 4096, 4 << 20)?;
        check.number("report.resend_ms", self.report.resend_ms, 100, 600_000)?;
        check.collectors("uplink.collectors", &self.uplink.collectors)?;
        check.socket("agent.socket", &self.agent.socket)?;
        check.socket("agent.admin_socket", &self.agent.admin_socket)?;
        if self.agent.socket == self.agent.admin_socket {
            let value = self.agent.socket.display().to_string();
            return Err(check.error("agent.admin_socket", value, "another path than agent.socket".into()));
        }
        Ok(())
    }
}

struct Check {
    origin: String,
}

impl Check {
    fn error(&self, key: &'static str, value: String, allowed: String) -> ConfigError {
        ConfigError::Range { origin: self.origin.clone(), key, value, allowed }
    }

    fn share(&self, key: &'static str, value: f64) -> Result<(), ConfigError> {
        if value > 0.0 && value <= 1.0 {
            return Ok(());
        }
        Err(self.error(key, value.to_string(), "more than 0 and at most 1".into()))
    }

    fn number(&self, key: &'static str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(self.error(key, value.to_string(), format!("{min} to {max}")))
    }

    fn collectors(&self, key: &'static str, urls: &[String]) -> Result<(), ConfigError> {
        if urls.len() > 1 {
            let allowed = "one collector, or none: an agent talks to one for now".to_owned();
            return Err(self.error(key, format!("a list of {}", urls.len()), allowed));
        }
        match urls.iter().find(|url| !is_collector(url)) {
            Some(url) => Err(self.error(key, url.clone(), "http://host:port, as http://127.0.0.1:4390".into())),
            None => Ok(()),
        }
    }

    fn socket(&self, key: &'static str, path: &Path) -> Result<(), ConfigError> {
        let len = path.as_os_str().len();
        if (1..=SOCKET_PATH_MAX_BYTES).contains(&len) {
            return Ok(());
        }
        let allowed = format!("a path of 1 to {SOCKET_PATH_MAX_BYTES} B (this one has {len})");
        Err(self.error(key, path.display().to_string(), allowed))
    }
}

/// Returns whether `url` names a host and a port, and nothing else.
fn is_collector(url: &str) -> bool {
    let address = url.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let is_host = |host: &str| {
        let named = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match bracketed {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(named),
        }
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    address.and_then(|address| address.rsplit_once(':')).is_some_and(|(host, port)| is_host(host) && is_port(port))
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

/// Returns MemAvailable of `/proc/meminfo`'s text.
pub fn available_memory(meminfo: &str) -> Option<Bytes> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(Bytes::kib(line.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests;
