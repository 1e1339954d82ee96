//! Claims about the HTTP API, over a port of this host: what is stored is answered in every form that is promised, and whoever may not ask is told why.

mod client;
mod jaeger;
mod ours;
mod refusals;
mod schema;

use super::{Parts, Tally, Web};
use crate::auth::Tokens;
use crate::config::{Config, IntakeConfig, QueryConfig};
use crate::library::tests::traces::{TestReport, TestSpan, one_span};
use crate::library::tests::{AGENT, open};
use crate::library::{Library, Options, QUIET_NS};
use crate::query::StatusSource;
use crate::spans::SpanStore;
use crate::streams::Refused;
use crate::tls::Tls;
use backsight_core::ids::AgentId;
use backsight_proto::v1;
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;

struct Source;

impl StatusSource for Source {
    fn uptime_ms(&self) -> u64 {
        77
    }

    fn agents(&self) -> Vec<v1::AgentStatus> {
        vec![v1::AgentStatus { agent: AGENT.0, host: "here".to_owned(), ..v1::AgentStatus::default() }]
    }

    fn drops(&self) -> Vec<(String, u64)> {
        vec![("malformed".to_owned(), 2)]
    }
}

/// The API over a library of its own.
struct Served {
    web: Web,
    address: SocketAddr,
    tally: Tally,
    library: Library,
    _folder: TempDir,
}

/// The span with which both traces begin.
const ROOT: TestSpan = TestSpan { id: 1, parent: 0, name: "GET /", start: 1000, took: 500, is_error: false };

/// Puts two traces into `library`: in the older one `cart` calls `till`, which fails; the newer one is of `cart` alone, and longer.
async fn fill(library: &Library) {
    let charge = TestSpan { id: 2, parent: 1, name: "charge", start: 1200, took: 50, is_error: true };
    let reports: [(AgentId, TestReport); 3] = [
        (AGENT, one_span(1, "cart", ROOT)),
        (AgentId(6), one_span(1, "till", charge)),
        (AGENT, one_span(2, "cart", TestSpan { start: 20_000, took: 900, ..ROOT })),
    ];
    for (agent, report) in reports {
        library.add(agent, vec![report.message()]).await.unwrap();
    }
    library.settle(0);
    library.settle(QUIET_NS);
}

fn config() -> Config {
    let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    Config { query: QueryConfig { listen, ..QueryConfig::default() }, ..Config::default() }
}

/// What keeps strangers out.
#[derive(Default)]
struct Guards {
    tokens: Option<Tokens>,
    tls: Option<Tls>,
}

async fn serve(config: Config, guards: Guards) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    fill(&library).await;
    let tally = Tally::default();
    let parts = Parts {
        library: library.clone(),
        spans: SpanStore::open(folder.path(), &IntakeConfig::default()).unwrap(),
        source: Arc::new(Source),
        refused: Refused::default(),
        tls: guards.tls.map(Arc::new),
        tokens: guards.tokens.map(Arc::new),
        tally: tally.clone(),
    };
    let web = Web::start(&config, parts).await.unwrap().unwrap();
    Served { address: web.address(), web, tally, library, _folder: folder }
}

async fn served() -> Served {
    serve(config(), Guards::default()).await
}
