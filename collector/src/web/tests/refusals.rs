//! Claims about who may not ask: strangers' pages, people without a token, and those who want too much, each told why and counted.

use super::client::{ask, ask_on, get, get_with};
use super::{Guards, Served, config, serve, served};
use crate::auth::{Role, Tokens, make};
use crate::config::{Config, QueryConfig};
use crate::tls::Tls;
use backsight_proto::tls::TlsFiles;
use backsight_proto::tls::testing::{Authority, Wanted};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const SEARCH: &str = "/api/v1/search";

fn counted(api: &Served, reason: &str) -> u64 {
    api.tally.refusals().find(|(name, _)| *name == reason).unwrap().1
}

#[tokio::test]
async fn pages_of_strangers_are_refused_and_listed_ones_may_read() {
    let query = QueryConfig { cors: vec!["https://grafana.example".to_owned()], ..config().query };
    let api = serve(Config { query, ..config() }, Guards::default()).await;
    let rebound = ask(api.address, &format!("GET {SEARCH} HTTP/1.1\r\nhost: evil.example\r\n")).await;
    assert_eq!((rebound.status, &rebound.json()["code"], counted(&api, "host")), (403, &json!("forbidden"), 1));
    let other = get_with(api.address, SEARCH, &[("origin", "https://evil.example")]).await;
    assert_eq!((other.status, other.header("access-control-allow-origin"), counted(&api, "origin")), (403, None, 1));
    let listed = get_with(api.address, SEARCH, &[("origin", "https://grafana.example")]).await;
    assert_eq!((listed.status, listed.header("access-control-allow-origin")), (200, Some("https://grafana.example")));
    let plain = get(api.address, SEARCH).await;
    assert_eq!((plain.status, plain.header("access-control-allow-origin")), (200, None));
    assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));
    let policy = plain.header("content-security-policy");
    assert_eq!(policy, Some("default-src 'none'; frame-ancestors 'none'"));
    let head = format!("OPTIONS {SEARCH} HTTP/1.1\r\nhost: localhost\r\norigin: https://grafana.example\r\n");
    let asked = ask(api.address, &head).await;
    assert_eq!((asked.status, asked.header("access-control-allow-methods")), (204, Some("GET, HEAD")));
}

#[tokio::test]
async fn nobody_reads_without_a_token_of_the_right_role() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let (reader, agent) = (make(Role::Read, "grafana").unwrap(), make(Role::Ingest, "sdk").unwrap());
    std::fs::write(&path, format!("{}\n{}\n", reader.line, agent.line)).unwrap();
    let api = serve(config(), Guards { tokens: Some(Tokens::read(&path).unwrap()), tls: None }).await;
    let with = async |path: &str, token: &str| {
        get_with(api.address, path, &[("authorization", &format!("Bearer {token}"))]).await
    };
    let none = get(api.address, SEARCH).await;
    assert_eq!((none.status, none.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(get_with(api.address, SEARCH, &[("authorization", "Basic eDp5")]).await.status, 401);
    assert_eq!(get(api.address, "/api/services").await.json()["errors"][0]["code"], json!(401), "in Jaeger's form");
    assert_eq!(with(SEARCH, "bks_AAAA.BBBB").await.status, 401);
    assert_eq!(with(SEARCH, &format!("{}x", reader.token)).await.status, 401);
    assert_eq!(with(SEARCH, &agent.token).await.status, 403);
    for _ in 0..2 {
        assert_eq!(with(SEARCH, &reader.token).await.status, 200);
    }
    assert_eq!(get(api.address, "/healthz").await.status, 200, "machines may ask whether it lives");
    assert_eq!((counted(&api, "no_token"), counted(&api, "bad_token"), counted(&api, "role")), (3, 2, 1));
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let query = QueryConfig { concurrent_max: 0, ..config().query };
    let api = serve(Config { query, ..config() }, Guards::default()).await;
    let full = get(api.address, SEARCH).await;
    assert_eq!((full.status, full.header("retry-after"), counted(&api, "too_many")), (429, Some("1"), 1));
    let post = ask(api.address, &format!("POST {SEARCH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n")).await;
    assert_eq!((post.status, post.header("allow"), counted(&api, "method")), (405, Some("GET, HEAD"), 1));
    let body = get_with(api.address, SEARCH, &[("content-length", "1000000")]).await;
    assert_eq!((body.status, counted(&api, "too_large")), (413, 1));
    let head = "x".repeat(100 << 10);
    let long = ask(api.address, &format!("GET {SEARCH} HTTP/1.1\r\nhost: localhost\r\nx: {head}\r\n")).await;
    assert_eq!(long.status, 431);
    let many: String = (0..1000).map(|idx| format!("x{idx}: y\r\n")).collect();
    let many = ask(api.address, &format!("GET {SEARCH} HTTP/1.1\r\nhost: localhost\r\n{many}")).await;
    assert_eq!(many.status, 431);
    let params = get(api.address, &format!("{SEARCH}?{}", "a&".repeat(1025))).await;
    assert_eq!(params.status, 413);
}

#[tokio::test]
async fn all_paths_stand_below_the_base_path_but_those_of_machines() {
    let query = QueryConfig { base_path: "/jaeger".to_owned(), ..config().query };
    let api = serve(Config { query, ..config() }, Guards::default()).await;
    assert_eq!(get(api.address, "/jaeger/api/services").await.json()["total"], json!(2));
    assert_eq!(get(api.address, "/api/services").await.status, 404);
    assert_eq!(get(api.address, "/jaeger/api/v3/nothing").await.json()["error"]["httpCode"], json!(404));
    assert_eq!(get(api.address, "/healthz").await.status, 200);
}

/// Returns how somebody connects who shows the certificate of `shown`, if he has one, and who would rather speak HTTP/2.
fn connector(ca: &Path, shown: Option<&TlsFiles>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = match shown {
        Some(files) => {
            let chain = vec![CertificateDer::from_pem_file(&files.cert).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&files.key).unwrap()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn where_there_are_certificates_whoever_has_none_is_not_heard() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, of_server, of_client) =
        (Authority::new("ours"), folder.path().join("server"), folder.path().join("client"));
    [&of_server, &of_client].into_iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    let (server, client) = (ours.issue(&of_server, Wanted::default()), ours.issue(&of_client, Wanted::default()));
    let ca = server.ca.clone();
    let api = serve(config(), Guards { tls: Some(Tls::read(server).unwrap()), tokens: None }).await;
    let connect = async |shown| {
        let stream = TcpStream::connect(api.address).await.unwrap();
        connector(&ca, shown).connect("localhost".try_into().unwrap(), stream).await.unwrap()
    };
    let head = format!("GET {SEARCH} HTTP/1.1\r\nhost: localhost\r\n");
    assert_eq!(ask_on(connect(Some(&client)).await, &head).await.unwrap().status, 200);
    assert!(ask_on(connect(None).await, &head).await.is_none());
}

/// Whoever holds a connection open and says nothing does not hold up the end.
#[tokio::test]
async fn it_stops_while_connections_are_open() {
    let api = served().await;
    let mut idle = TcpStream::connect(api.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    let _half = TcpStream::connect(api.address).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), api.web.stop()).await.unwrap();
    assert_eq!(idle.read(&mut [0; 4096]).await.unwrap_or(0), 0, "it is closed");
}
