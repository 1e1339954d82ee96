//! Claims about connections: whoever is not known is refused and counted by reason, and whoever is known comes through.

use super::{Speaks, Tls};
use crate::streams::Refused;
use backsight_proto::tls::testing::{Authority, Wanted};
use backsight_proto::tls::{Side, TlsFiles};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// A port whose connections are known.
struct Door {
    tls: Tls,
    url: String,
    refused: Refused,
    incoming: ReceiverStream<std::io::Result<TlsStream<TcpStream>>>,
}

impl Door {
    async fn open(files: &TlsFiles) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (tls, refused) = (Tls::read(files.clone()).unwrap(), Refused::default());
        let incoming = tls.incoming(listener, refused.clone(), Speaks::Http2);
        Self { tls, url, refused, incoming }
    }

    /// Connects, and goes again; whether it was refused the collector says.
    async fn knock(&self, config: ClientTlsConfig) {
        let endpoint = Endpoint::from_shared(self.url.clone()).unwrap().tls_config(config).unwrap();
        drop(endpoint.connect().await);
    }

    async fn until_refused(&self, reason: &str, n: u64) {
        let counted = || self.refused.counts().find(|(name, _)| *name == reason).unwrap().1;
        for _ in 0..1000 {
            if counted() == n {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{reason}: {} in place of {n}", counted());
    }
}

fn issued(authority: &Authority, folder: &Path, name: &str) -> TlsFiles {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    authority.issue(&folder, Wanted::default())
}

fn shown(files: &TlsFiles) -> ClientTlsConfig {
    files.read("", Side::Client).unwrap().for_client()
}

#[tokio::test]
async fn whoever_is_not_known_is_refused_and_counted_by_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let mut door = Door::open(&issued(&ours, folder.path(), "collector")).await;
    let known = issued(&ours, folder.path(), "known");
    door.knock(shown(&known)).await;
    assert!(door.incoming.next().await.unwrap().is_ok());

    let mut plain = TcpStream::connect(door.url.strip_prefix("https://").unwrap()).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let _ = plain.read_to_end(&mut Vec::new()).await; // an alert, or a broken connection
    door.until_refused("no_handshake", 1).await;

    let ca = Certificate::from_pem(std::fs::read(&known.ca).unwrap());
    door.knock(ClientTlsConfig::new().ca_certificate(ca)).await;
    door.until_refused("no_certificate", 1).await;

    let stranger = TlsFiles { ca: known.ca.clone(), ..issued(&theirs, folder.path(), "stranger") };
    door.knock(shown(&stranger)).await;
    door.until_refused("bad_certificate", 1).await;

    let expired = ours.issue(folder.path(), Wanted { years: (2000, 2010), ..Wanted::default() });
    assert!(expired.read("", Side::Client).unwrap_err().is_of_time(), "nobody dials with it");

    // A client that does not trust the collector says so.
    door.knock(shown(&issued(&theirs, folder.path(), "stranger"))).await;
    door.until_refused("no_handshake", 2).await;
}

#[tokio::test]
async fn files_are_read_again_for_connections_to_come() {
    let folder = tempfile::tempdir().unwrap();
    let old = Authority::new("old");
    let mut door = Door::open(&issued(&old, folder.path(), "collector")).await;
    let known = issued(&old, folder.path(), "known");
    std::fs::write(folder.path().join("collector/cert.pem"), "").unwrap();
    door.tls.read_again().unwrap_err();
    door.knock(shown(&known)).await;
    assert!(door.incoming.next().await.unwrap().is_ok(), "what was read before stays");

    let new = Authority::new("new");
    let renewed = issued(&new, folder.path(), "collector");
    door.tls.read_again().unwrap();
    door.knock(shown(&TlsFiles { ca: renewed.ca.clone(), ..known })).await;
    door.until_refused("bad_certificate", 1).await;
    door.knock(shown(&issued(&new, folder.path(), "known"))).await;
    assert!(door.incoming.next().await.unwrap().is_ok());
}
