//! Certificates between agents, the collector and people: who has none, or one of somebody else, is refused and told why; what is renewed is
//! taken up.

use crate::hosts::Cluster;
use backsight_proto::tls::TlsFiles;
use backsight_proto::tls::testing::{Authority, Wanted};
use backsight_proto::v1;
use backsight_proto::v1::query_client::QueryClient;
use backsight_tests::harness::agent::{Agent, AgentOptions};
use backsight_tests::harness::api::Api;
use backsight_tests::harness::binaries;
use backsight_tests::harness::collector::{Collector, CollectorOptions, Sides, tls_section};
use backsight_tests::hop::Act;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// The certificates of a cluster, each in a folder of its own.
pub(crate) struct Keys {
    _folder: TempDir,
    pub(crate) collector: TlsFiles,
    pub(crate) agents: TlsFiles,
    pub(crate) reader: TlsFiles,
}

impl Keys {
    /// Has one authority sign for all, for the collector these names.
    pub(crate) fn of(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [collector, agents, reader] = ["collector", "agents", "reader"].map(|name| folder.path().join(name));
        for folder in [&collector, &agents, &reader] {
            std::fs::create_dir(folder).unwrap();
        }
        let authority = Authority::new("ours");
        Self {
            collector: authority.issue(&collector, Wanted { names, ..Wanted::default() }),
            agents: authority.issue(&agents, Wanted::default()),
            reader: authority.issue(&reader, Wanted::default()),
            _folder: folder,
        }
    }

    /// Has another authority sign everything anew, in the same files.
    fn renew(&self) {
        let new = Authority::new("new");
        for files in [&self.collector, &self.agents, &self.reader] {
            let _ = new.issue(files.ca.parent().unwrap(), Wanted::default());
        }
    }

    pub(crate) fn sides(&self) -> Sides<'_> {
        Sides { collector: &self.collector, reader: &self.reader }
    }

    fn collector(&self) -> Collector {
        Collector::start_with(CollectorOptions { tls: Some(self.sides()), host: None }).unwrap()
    }

    /// Returns how agents are configured.
    pub(crate) fn of_agents(&self) -> String {
        tls_section("uplink", &self.agents)
    }
}

const HERE: &[&str] = &["127.0.0.1"];

fn agent(collector: &str, config: &str) -> Agent {
    Agent::start(AgentOptions { collector: Some(collector), config, ..AgentOptions::default() }).unwrap()
}

/// Waits until the agent says of its connection what `is_so`.
#[track_caller]
fn until(agent: &Agent, is_so: impl Fn(&serde_json::Value) -> bool) {
    let mut last = serde_json::Value::Null;
    let looked = agent.api().until("what the agent says of its collector", |api: &Api| {
        last = api.json("/v1/status")?["uplinks"][0].take();
        Ok(is_so(&last).then_some(()))
    });
    looked.unwrap_or_else(|error| panic!("{error:#}: {last:#}"));
}

#[track_caller]
fn until_refused(agent: &Agent, why: &str) {
    until(agent, |uplink| uplink["is_connected"] == false && uplink["last_error"].as_str().unwrap().contains(why));
}

#[track_caller]
fn until_logged(collector: &Collector, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !collector.log().contains(what) {
        assert!(Instant::now() < deadline, "no `{what}` in\n{}", collector.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn backsight(tls: Option<&TlsFiles>, args: &[&str]) -> Output {
    let mut command = Command::new(binaries::find("backsight").unwrap());
    for variable in ["ADMIN", "COLLECTOR", "TLS_CA", "TLS_CERT", "TLS_KEY"] {
        command.env_remove(format!("BACKSIGHT_{variable}"));
    }
    if let Some(TlsFiles { ca, cert, key }) = tls {
        command.env("BACKSIGHT_TLS_CA", ca).arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
    }
    command.args(args).output().unwrap()
}

#[track_caller]
fn said(output: &Output, status: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{error}");
    words.iter().for_each(|word| assert!(error.contains(word), "no `{word}` in: {error}"));
}

#[test]
fn a_trace_is_fetched_and_shown_where_everybody_has_a_certificate() {
    let keys = Keys::of(HERE);
    let options = CollectorOptions { tls: Some(keys.sides()), host: None };
    let cluster = Cluster::start_on(&[None, None], options, &keys.of_agents());
    let trace = cluster.send(&[Act::Serve, Act::Fail]);
    assert_eq!(cluster.complete(trace).certificate.agents.len(), 2);
    let (id, url) = (trace.to_string(), cluster.collector.url());
    let shown = backsight(Some(&keys.reader), &["--collector", &url, "trace", "get", &id]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("certificate  complete"), "{shown:?}");
    // An agent knows its collector, and not the certificates of people.
    let admin = cluster.agents[0].folder().join("admin.sock").display().to_string();
    let shown = backsight(Some(&keys.reader), &["--agent", &admin, "trace", "get", &id]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("certificate  complete"), "{shown:?}");
    said(&backsight(None, &["--agent", &admin, "trace", "get", &id]), 1, &["--tls-ca, --tls-cert and --tls-key"]);
    said(&backsight(None, &["--collector", &url, "trace", "get", &id]), 2, &["--tls-ca, --tls-cert and --tls-key"]);
}

#[test]
fn people_without_a_certificate_that_the_collector_knows_are_refused() {
    let (keys, strangers) = (Keys::of(HERE), Keys::of(HERE));
    let collector = keys.collector();
    let search = ["--collector", &collector.url(), "trace", "search"];
    let stranger = TlsFiles { ca: keys.reader.ca.clone(), ..strangers.reader.clone() };
    said(&backsight(Some(&stranger), &search), 1, &["the certificates are refused: received fatal alert: "]);
    until_logged(&collector, "reason=\"bad_certificate\"");
    said(
        &backsight(Some(&strangers.reader), &search),
        1,
        &["is not known by its certificate: invalid peer certificate"],
    );
    until_logged(&collector, "reason=\"no_handshake\"");
    let anonymous = async {
        let ca = Certificate::from_pem(std::fs::read(&keys.reader.ca).unwrap());
        let endpoint = Endpoint::from_shared(collector.url()).unwrap();
        let channel = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(ca)).unwrap().connect().await?;
        QueryClient::new(channel).status(v1::StatusRequest {}).await?;
        anyhow::Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(anonymous).is_err());
    until_logged(&collector, "reason=\"no_certificate\"");
    let broken = TlsFiles { key: keys.agents.key.clone(), ..keys.reader.clone() };
    said(&backsight(Some(&broken), &search), 1, &["--tls-key: ", "is not the key of the certificate of --tls-cert: "]);
}

#[test]
fn an_agent_that_the_collector_does_not_know_is_told_so_and_taken_once_its_certificate_is_renewed() {
    let (keys, strangers) = (Keys::of(HERE), Keys::of(HERE));
    let collector = keys.collector();
    std::fs::copy(&keys.agents.ca, &strangers.agents.ca).unwrap();
    let stranger = agent(&collector.url(), &strangers.of_agents());
    until_refused(&stranger, "the certificates are refused: received fatal alert: ");
    until_logged(&collector, "reason=\"bad_certificate\"");
    // A new certificate and not yet its key: what an agent may find while somebody renews both.
    std::fs::copy(&keys.agents.cert, &strangers.agents.cert).unwrap();
    until_refused(&stranger, "uplink.tls.key: ");
    std::fs::copy(&keys.agents.key, &strangers.agents.key).unwrap();
    until(&stranger, |uplink| uplink["is_reporting"] == true);
}

#[test]
fn an_agent_that_dials_without_a_certificate_is_refused() {
    let keys = Keys::of(HERE);
    let collector = keys.collector();
    let plain = agent(&collector.url().replace("https", "http"), "");
    until_refused(&plain, "set uplink.tls and dial https://");
    until_logged(&collector, "reason=\"no_handshake\"");
    let search = backsight(None, &["--collector", &collector.url().replace("https", "http"), "trace", "search"]);
    said(&search, 1, &["name it as https://"]);
}

#[test]
fn a_collector_whose_certificate_has_another_name_is_not_told_anything() {
    let keys = Keys::of(&["collector.example", "10.0.0.1"]);
    let collector = keys.collector();
    let agent = agent(&collector.url(), &keys.of_agents());
    until_refused(&agent, "certificate not valid for name \"127.0.0.1\"");
    until_logged(&collector, "reason=\"no_handshake\"");
}

#[test]
fn certificates_of_a_new_authority_are_taken_up_when_connections_are_made_anew() {
    let keys = Keys::of(HERE);
    let options = CollectorOptions { tls: Some(keys.sides()), host: None };
    let mut cluster = Cluster::start_on(&[None, None], options, &keys.of_agents());
    cluster.complete(cluster.send(&[Act::Serve, Act::Fail]));
    keys.renew();
    cluster.collector.restart().unwrap();
    cluster.complete(cluster.send(&[Act::Serve, Act::Fail]));
}

#[test]
fn a_collector_reads_its_certificates_again_when_it_is_hung_up_on() {
    let keys = Keys::of(HERE);
    let collector = keys.collector();
    let search = ["--collector", &collector.url(), "trace", "search"];
    let hang_up = || {
        let pid = rustix::process::Pid::from_raw(collector.pid() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    };
    let sound = std::fs::read(&keys.collector.key).unwrap();
    std::fs::write(&keys.collector.key, "").unwrap();
    hang_up();
    until_logged(&collector, "certificates not read again, those in use stay");
    assert!(collector.log().contains("collector.tls.key: "), "{}", collector.log());
    said(&backsight(Some(&keys.reader), &search), 0, &[]);
    std::fs::write(&keys.collector.key, sound).unwrap();
    keys.renew();
    said(&backsight(Some(&keys.reader), &search), 1, &["UnknownIssuer"]);
    hang_up();
    until_logged(&collector, "INFO certificates read again");
    said(&backsight(Some(&keys.reader), &search), 0, &[]);
}

/// Runs a daemon that only checks a configuration, and returns what it says.
fn check(daemon: &str, folder: &Path, config: &str) -> Output {
    let file: PathBuf = folder.join("config.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(binaries::find(daemon).unwrap());
    command.arg("--check").arg("--config").arg(file).env("NO_COLOR", "1").output().unwrap()
}

#[test]
fn files_that_cannot_be_used_end_the_start_and_an_agent_records_on_with_one_that_has_expired() {
    let folder = tempfile::tempdir().unwrap();
    let expired = Authority::new("ours").issue(folder.path(), Wanted { years: (2000, 2010), ..Wanted::default() });
    let said = |daemon: &str, section: &str| {
        let output = check(daemon, folder.path(), &tls_section(section, &expired));
        // Logs go to standard error.
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (is_fine, words) = said("backsight-collector", "collector");
    assert!(!is_fine && words.contains("collector.tls.cert: ") && words.contains(" expired "), "{words}");
    let (is_fine, words) = said("backsight-agent", "uplink");
    assert!(is_fine && words.contains("WARN") && words.contains(" expired "), "{words}");
    std::fs::remove_file(&expired.key).unwrap();
    for (daemon, section) in [("backsight-collector", "collector"), ("backsight-agent", "uplink")] {
        let (is_fine, words) = said(daemon, section);
        let key = format!("{section}.tls.key: {} cannot be read: No such file", expired.key.display());
        assert!(!is_fine && words.contains(&key), "{words}");
    }
}
