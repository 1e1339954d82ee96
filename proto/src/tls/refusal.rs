//! Why a server hung up on a client that it did not know.
//!
//! In TLS 1.3 a client has finished its handshake before the server looks at its certificate. The alert comes later, while whoever speaks HTTP/2
//! is sending, and may be lost behind a broken pipe: so the server is asked once more, by somebody who only listens.

use super::{Credentials, provider};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;

/// How long the server may take to say it; one that says nothing does not refuse.
const WITHIN: Duration = Duration::from_secs(2);

impl Credentials {
    /// Asks the server at `url` whether it refuses these, and returns what it says if it does.
    pub async fn refusal(&self, url: &str) -> Option<String> {
        tokio::time::timeout(WITHIN, self.listen(url)).await.ok().flatten()
    }

    async fn listen(&self, url: &str) -> Option<String> {
        let url: Uri = url.parse().ok()?;
        let host = url.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let stream = TcpStream::connect((host.as_str(), url.port_u16()?)).await.ok()?;
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).ok()?;
        let own = SingleCertAndKey::from(Arc::clone(&self.own));
        let config =
            builder.with_root_certificates(Arc::clone(&self.authorities)).with_client_cert_resolver(Arc::new(own));
        let name = ServerName::try_from(host).ok()?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let heard = match connected {
            Ok(mut stream) => stream.read(&mut [0]).await.map(drop),
            Err(error) => Err(error),
        };
        // Anything but a broken connection is what one side thinks of the other's certificate.
        let error = heard.err().filter(|error| error.kind() == std::io::ErrorKind::InvalidData)?;
        Some(format!("the certificates are refused: {error}"))
    }
}
