//! The agent's certificates: looked at when it starts, and read anew each time it dials, so that whoever renews them need not tell it.
//!
//! Called by the daemon's start and by the link.

use crate::config::UplinkConfig;
use backsight_core::cause::{chain, root};
use backsight_proto::tls::{Side, TlsError, TlsFiles};
use tonic::transport::{Channel, Endpoint};
use tracing::warn;

/// What the configuration calls the files.
const PREFIX: &str = "uplink.tls.";

/// Checks the files that are configured. One that is only out of its time is warned of: the host is recorded meanwhile, and whoever renews it
/// need not start the agent again.
///
/// # Errors
/// One of them cannot be used at any time.
pub fn check(config: &UplinkConfig) -> Result<(), TlsError> {
    let Some(files) = &config.tls else { return Ok(()) };
    match files.read(PREFIX, Side::Client) {
        Ok(_) => Ok(()),
        Err(error) if error.is_of_time() => {
            warn!(cause = %error, "no collector is reached with this certificate");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Connects to a collector, with the certificates that are in the files now.
///
/// # Errors
/// The files cannot be used, or no connection is made; why, for people.
pub(super) async fn connect(endpoint: &Endpoint, files: Option<&TlsFiles>) -> Result<Channel, String> {
    let Some(files) = files else { return endpoint.connect().await.map_err(|error| chain(&error)) };
    let config = files.read(PREFIX, Side::Client).map_err(|error| chain(&error))?.for_client();
    let endpoint = endpoint.clone().tls_config(config).map_err(|error| chain(&error))?;
    // Errors of TLS repeat themselves in their causes.
    endpoint.connect().await.map_err(|error| format!("{error}: {}", root(&error)))
}

/// Returns why a connection ended soon after it was made, for people: `why`, or that one side wants or refuses certificates.
pub(super) async fn explained(why: String, url: &str, files: Option<&TlsFiles>) -> String {
    match files.map(|files| files.read(PREFIX, Side::Client)) {
        Some(Ok(credentials)) => credentials.refusal(url).await.unwrap_or(why),
        Some(Err(_)) => why,
        None if why.contains("transport error") => {
            format!("{why}; where the collector wants certificates, set uplink.tls and dial https://")
        }
        None => why,
    }
}
