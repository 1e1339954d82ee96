//! The configuration of a collector: a TOML file, every key with a default and a range; flags of the command line override it.
//!
//! Called once, by `main` and by tests. Every error names the file, the key, the value and what is allowed.

use backsight_core::units::Bytes;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The smallest store that works: two files.
pub const STORE_MIN: Bytes = Bytes::mib(128);

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
}

impl Default for CollectorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4390)),
            data_dir: "/var/lib/backsight/collector".into(),
            agents_max: 10_000,
        }
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

/// What the command line may override.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// See [`CollectorConfig::listen`].
    pub listen: Option<SocketAddr>,
    /// See [`CollectorConfig::data_dir`].
    pub data_dir: Option<PathBuf>,
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
    #[error("{origin}: {key} is {value}, allowed is {min} to {max}")]
    Range {
        /// The file, or the command line.
        origin: String,
        /// The key.
        key: &'static str,
        /// What it was set to.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
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
        overrides.listen.into_iter().for_each(|listen| config.collector.listen = listen);
        overrides.data_dir.into_iter().for_each(|dir| config.collector.data_dir = dir);
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: Option<&Path>) -> Result<(), ConfigError> {
        let check = |key, value, min, max| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            let origin = file.map_or_else(|| "command line".into(), |path| path.display().to_string());
            Err(ConfigError::Range { origin, key, value, min, max })
        };
        check("collector.agents_max", self.collector.agents_max as u64, 1, 100_000)?;
        check("store.max_bytes", self.store.max_bytes, STORE_MIN.0, 1 << 50)?;
        check("store.traces_max", self.store.traces_max as u64, 1, 100_000_000)?;
        check("store.queue_bytes", self.store.queue_bytes as u64, 1 << 20, 16 << 30)?;
        check("coordinator.ttl_s", self.coordinator.ttl_s, 1, 3600)
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Overrides};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("collector.toml");
        std::fs::write(&file, text).unwrap();
        let error = Config::load(Some(&file), Overrides::default()).unwrap_err().to_string();
        let error = error.replace(&file.display().to_string(), "FILE");
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn an_error_names_the_file_the_key_the_value_and_the_range() {
        check("[store]\nmax_bytes = 5\n", "FILE: store.max_bytes is 5, allowed is 134217728 to 1125899906842624");
        check("[coordinator]\nttl_s = 0\n", "FILE: coordinator.ttl_s is 0, allowed is 1 to 3600");
        check("[collector]\nlisten = \"nowhere\"\n", "listen");
        check("[collector]\ncolour = 1\n", "unknown field `colour`");
    }

    #[test]
    fn the_command_line_wins() {
        let overrides = Overrides { data_dir: Some("/elsewhere".into()), ..Overrides::default() };
        let config = Config::load(None, overrides).unwrap();
        assert_eq!(config.collector.data_dir, std::path::Path::new("/elsewhere"));
    }
}
