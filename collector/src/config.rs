//! The configuration of a collector: a TOML file, every key with a default and a range; flags of the command line override it.
//!
//! Called once, by `main` and by tests. Every error names the file or the command line, the key, the value and what is allowed.

mod intake;

pub(crate) use intake::pattern;
pub use intake::{IntakeConfig, REDACT_MAX, RedactAction, RedactRule};

use backsight_core::units::Bytes;
use backsight_proto::config::{ConfigError, Form, Key, Origin, Value, check_flag, read};
use backsight_proto::tls::TlsFiles;
use backsight_proto::wire::otlp_visit::DEPTH_MAX;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The smallest store that works: two files.
pub const STORE_MIN: Bytes = Bytes::mib(128);
/// The longest path of a folder; the kernel takes 4095 bytes, with the names of the files in it.
pub const FOLDER_PATH_MAX_BYTES: usize = 4000;

/// Every key, and what it may be set to. The table of `docs/spec/config.md` says why.
pub const KEYS: &[Key] = &[
    Key::new("collector.listen", Form::Address),
    Key::new("collector.data_dir", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
    Key::new("collector.agents_max", Form::Number { min: 1, max: 100_000 }),
    Key::new("collector.tls", Form::Table(TLS_KEYS)),
    Key::new("collector.insecure", Form::Flag),
    Key::new("store.max_bytes", Form::Size { min: STORE_MIN, max: Bytes(1 << 50) }),
    Key::new("store.traces_max", Form::Number { min: 1, max: 100_000_000 }),
    Key::new("store.queue_bytes", Form::Size { min: Bytes::mib(1), max: Bytes(16 << 30) }),
    Key::new("coordinator.ttl_s", Form::Number { min: 1, max: 3600 }),
    Key::new("intake.otlp", Form::Flag),
    Key::new("intake.otlp_grpc", Form::Address),
    Key::new("intake.otlp_http", Form::Address),
    Key::new("intake.body_max", intake::REQUEST_FORM),
    Key::new("intake.decompressed_max", intake::REQUEST_FORM),
    Key::new("intake.attr_value_max", Form::Size { min: Bytes(64), max: Bytes::mib(16) }),
    Key::new("intake.attrs_max", Form::Number { min: 1, max: 65_536 }),
    Key::new("intake.events_max", Form::Number { min: 1, max: 65_536 }),
    Key::new("intake.depth_max", Form::Number { min: 1, max: DEPTH_MAX as u64 }),
    Key::new("intake.in_flight_bytes", Form::Size { min: Bytes::mib(1), max: Bytes(64 << 30) }),
    Key::new("intake.connections_max", Form::Number { min: 1, max: 65_536 }),
    Key::new("intake.redact", Form::Tables(intake::REDACT_KEYS)),
    Key::new("intake.redact_key", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
    Key::new("query.listen", Form::Address),
    Key::new("query.base_path", Form::BasePath),
    Key::new("query.cors", Form::Origins),
    Key::new("query.timeout_s", Form::Number { min: 1, max: 600 }),
    Key::new("query.results_max", Form::Number { min: 1, max: 10_000 }),
    Key::new("query.concurrent_max", Form::Number { min: 1, max: 1024 }),
    Key::new("query.connections_max", Form::Number { min: 1, max: 65_536 }),
    Key::new("auth.tokens", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
];

/// The keys of the table `[collector.tls]`.
const TLS_KEYS: &[Key] = &[
    Key::new("collector.tls.ca", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
    Key::new("collector.tls.cert", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
    Key::new("collector.tls.key", Form::Path { len_max: FOLDER_PATH_MAX_BYTES }),
];

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where this collector lives.
    pub collector: CollectorConfig,
    /// What it keeps.
    pub store: StoreConfig,
    /// How it follows requests.
    pub coordinator: CoordinatorConfig,
    /// What it takes of OTLP.
    pub intake: IntakeConfig,
    /// How it is read over HTTP.
    pub query: QueryConfig,
    /// Who may ask.
    pub auth: AuthConfig,
}

/// `[collector]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectorConfig {
    /// Where agents and people connect: an address and a port, 0 for any free one.
    pub listen: SocketAddr,
    /// Where traces are stored.
    pub data_dir: PathBuf,
    /// Agents connected at a time.
    pub agents_max: usize,
    /// The certificates by which the collector, agents and people know each other; none to talk to whoever connects.
    pub tls: Option<TlsFiles>,
    /// Whether others than this host may connect without certificates.
    pub insecure: bool,
}

impl Default for CollectorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4390)),
            data_dir: "/var/lib/backsight/collector".into(),
            agents_max: 10_000,
            tls: None,
            insecure: false,
        }
    }
}

impl CollectorConfig {
    /// Checks that it is open to others only with certificates, or where somebody says that it may be; of each address, with its key and origin.
    fn check(
        &self,
        listens: &[(&'static str, SocketAddr, Origin<'_>)],
        of_insecure: Origin<'_>,
    ) -> Result<(), ConfigError> {
        if self.tls.is_some() && self.insecure {
            let allowed = "false where [collector.tls] names certificates".to_owned();
            return Err(ConfigError::beside(of_insecure, "collector.insecure", "true", allowed));
        }
        let open = listens.iter().find(|(_, address, _)| !address.ip().is_loopback());
        if let (false, false, Some((key, address, origin))) = (self.tls.is_some(), self.insecure, open) {
            let allowed = "an address of this host alone, as 127.0.0.1, unless [collector.tls] names certificates, by which others are known, \
                           or collector.insecure (--insecure) says that whoever reaches it may read and write traces";
            return Err(ConfigError::beside(*origin, key, &address.to_string(), allowed.to_owned()));
        }
        Ok(())
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The most that is kept on disk; the oldest goes first.
    pub max_bytes: u64,
    /// Traces that are known at a time; the oldest are forgotten first.
    pub traces_max: usize,
    /// Reports that wait for the disk.
    pub queue_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { max_bytes: Bytes::mib(10 * 1024).0, traces_max: 200_000, queue_bytes: 64 << 20 }
    }
}

/// `[coordinator]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoordinatorConfig {
    /// How long a group is followed after the last news of it.
    pub ttl_s: u64,
}

impl Default for CoordinatorConfig {
    fn default() -> Self {
        Self { ttl_s: 60 }
    }
}

/// Where the API is where nobody says it; Jaeger's own port.
pub const QUERY_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 16_686);

/// `[query]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryConfig {
    /// Where the API is. Where nobody says it, it is at [`QUERY_LISTEN`] if that is free, else nowhere.
    pub listen: Option<SocketAddr>,
    /// What stands before all its paths.
    pub base_path: String,
    /// Origins whose pages may read answers.
    pub cors: Vec<String>,
    /// How long a question may take.
    pub timeout_s: u64,
    /// Traces of one answer.
    pub results_max: usize,
    /// Requests that are answered at a time.
    pub concurrent_max: usize,
    /// Connections at a time.
    pub connections_max: usize,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            listen: None,
            base_path: String::new(),
            cors: Vec::new(),
            timeout_s: 10,
            results_max: 1000,
            concurrent_max: 16,
            connections_max: 256,
        }
    }
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// The file of tokens; none to answer whoever reaches the API.
    pub tokens: Option<PathBuf>,
}

/// What the command line may override.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// See [`CollectorConfig::listen`].
    pub listen: Option<SocketAddr>,
    /// See [`CollectorConfig::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// See [`CollectorConfig::insecure`].
    pub insecure: bool,
}

impl Config {
    /// Reads `file`, or takes the defaults where there is none; then applies `overrides`. What either of them says is checked by itself.
    ///
    /// # Errors
    /// A file that cannot be read or understood, or a value that is not allowed.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let mut config = file.map_or_else(|| Ok(Self::default()), |path| read(path, KEYS))?;
        let origin = |by_flag: bool| file.filter(|_| !by_flag).map_or(Origin::CommandLine, Origin::File);
        let (of_listen, of_insecure) = (origin(overrides.listen.is_some()), origin(overrides.insecure));
        overrides.listen.into_iter().for_each(|listen| config.collector.listen = listen);
        config.collector.insecure |= overrides.insecure;
        if let Some(dir) = overrides.data_dir {
            check_flag(KEYS, "collector.data_dir", &Value::Text(dir.as_os_str()))?;
            config.collector.data_dir = dir;
        }
        config.intake.check(origin(false))?;
        let mut listens = vec![("collector.listen", config.collector.listen, of_listen)];
        if config.intake.otlp {
            listens.push(("intake.otlp_grpc", config.intake.otlp_grpc, origin(false)));
            listens.push(("intake.otlp_http", config.intake.otlp_http, origin(false)));
        }
        config.collector.check(&listens, of_insecure)?;
        config.check_query(origin(false))?;
        Ok(config)
    }

    /// Checks that the API is open to others as the collector is: tokens alone could be read on their way.
    fn check_query(&self, of_listen: Origin<'_>) -> Result<(), ConfigError> {
        let open = self.query.listen.filter(|listen| !listen.ip().is_loopback());
        match open {
            Some(listen) if self.collector.tls.is_none() && !self.collector.insecure => {
                let allowed = "an address of this host alone, as 127.0.0.1, unless [collector.tls] names certificates, by which others are \
                               known, or collector.insecure (--insecure) says that whoever reaches it may read traces";
                let listen = listen.to_string();
                Err(ConfigError::beside(of_listen, "query.listen", &listen, allowed.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
