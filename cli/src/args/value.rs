//! Single values of the command line, read from their texts.

use backsight_core::expr;
use backsight_core::ids::TriggerId;
use backsight_core::names::expression_trigger;
use clap::error::ErrorKind;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::time::Duration;

/// The address of a collector: `http://host:port`, or `https://host:port` where it wants certificates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CollectorUrl(String);

impl CollectorUrl {
    /// Checks that the address asks for certificates where there are some, and for none where there are none.
    ///
    /// # Errors
    /// It does not; says what to do.
    pub(crate) fn goes_with(&self, has_certificates: bool) -> Result<(), (ErrorKind, &'static str)> {
        match (self.0.starts_with("https://"), has_certificates) {
            (true, false) => Err((
                ErrorKind::MissingRequiredArgument,
                "a collector at https:// wants certificates: name them with --tls-ca, --tls-cert and --tls-key, or BACKSIGHT_TLS_CA, \
                 _CERT and _KEY",
            )),
            (false, true) => Err((
                ErrorKind::ArgumentConflict,
                "a collector at http:// is shown no certificates: name it as https://, or leave out --tls-ca, --tls-cert and --tls-key \
                 (BACKSIGHT_TLS_CA, _CERT and _KEY)",
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for CollectorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CollectorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected http://host:port or https://host:port, as http://collector:4390";
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let address = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
        match address.and_then(|address| address.rsplit_once(':')) {
            Some((host, port)) if is_host(host) && is_port(port) => Ok(Self(text.to_owned())),
            _ => Err(format!("`{text}` is not a collector's address: {FORM}")),
        }
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
    }
}

/// Reads a duration: a whole number and one of ns, us, ms, s, m, h.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let ns_per_unit = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err("expected a whole number and ns, us, ms, s, m or h, as 150ms".to_owned()),
    };
    let ns = number.parse::<u64>().ok().and_then(|number| number.checked_mul(ns_per_unit));
    ns.map(Duration::from_nanos).ok_or_else(|| "expected a whole number and its unit, as 150ms".to_owned())
}

/// Reads a trigger: its name, or `0x` and its id in hex.
pub(super) fn trigger_id(text: &str) -> Result<TriggerId, String> {
    if text.is_empty() {
        return Err("a trigger has a name".to_owned());
    }
    TriggerId::from_text(text)
        .ok_or_else(|| format!("no trigger can be called `{text}`: it stands for a reserved id, or for none"))
}

/// Reads the name of a trigger that can be fired.
pub(super) fn trigger_name(text: &str) -> Result<String, String> {
    trigger_id(text).map(|_| text.to_owned())
}

/// Reads the name of a trigger that fires by an expression.
pub(super) fn expression_name(text: &str) -> Result<String, String> {
    expression_trigger(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Reads a trigger expression.
pub(super) fn expression(text: &str) -> Result<String, String> {
    expr::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
