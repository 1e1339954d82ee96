//! Claims about our own API; each answer is held against the OpenAPI file as it comes.

use super::client::{get, get_with};
use super::{Guards, config, serve, served};
use crate::config::{Config, QueryConfig};
use crate::library::tests::traces::trace;
use serde_json::{Value, json};

fn ids(answer: &Value) -> Vec<&str> {
    answer["traces"].as_array().unwrap().iter().map(|trace| trace["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn searches_find_what_matches_page_by_page() {
    let api = served().await;
    let (older, newer) = (trace(1).to_string(), trace(2).to_string());
    let found = async |query: &str| {
        let answer = get(api.address, &format!("/api/v1/search?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json()
    };
    let all = found("").await;
    assert_eq!((ids(&all), &all["next"], &all["scanned"]), (vec![&*newer, &*older], &Value::Null, &json!(2)));
    let first = &all["traces"][1];
    assert_eq!(
        (&first["root"]["operation"], &first["spans"], &first["errors"]),
        (&json!("GET /"), &json!(2), &json!(1))
    );
    assert_eq!((&first["start"], &first["duration_ns"]), (&json!("1000000000000001000"), &json!(500)));
    assert_eq!(ids(&found("q=service%20%3D%20till%20error").await), [&older]);
    assert_eq!(ids(&found("q=duration%20%3E%20600ns").await), [&newer]);
    assert_eq!(ids(&found("q=operation%20%3D~%20%22^char%22").await), [&older]);
    assert_eq!(ids(&found("sort=spans").await), [&older, &newer]);
    assert_eq!(ids(&found("from=1000000000000010000").await), [&newer]);
    assert_eq!(ids(&found("to=2001-09-09T01:46:40.00001Z").await), [&older]);
    assert_eq!(ids(&found("from=now-15m").await), [""; 0]);

    let page = found("limit=1").await;
    assert_eq!(ids(&page), [&newer]);
    let next = page["next"].as_str().unwrap();
    let second = found(&format!("limit=1&cursor={next}")).await;
    assert_eq!((ids(&second), &second["next"]), (vec![&*older], &Value::Null));
    let other = get(api.address, &format!("/api/v1/search?q=error&cursor={next}")).await;
    assert_eq!((other.status, &other.json()["code"]), (400, &json!("bad_parameter")), "a cursor is for its own search");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_where() {
    let api = served().await;
    let cases = [
        ("/api/v1/search?q=duration%20%3E%205", 400, "bad_query"),
        ("/api/v1/search?limit=0", 400, "bad_parameter"),
        ("/api/v1/search?limit=1001", 400, "bad_parameter"),
        ("/api/v1/search?sort=best", 400, "bad_parameter"),
        ("/api/v1/search?from=now&to=now-1h", 400, "bad_parameter"),
        ("/api/v1/search?cursor=x", 400, "bad_parameter"),
        ("/api/v1/search?q=%ff", 400, "bad_parameter"),
        ("/api/v1/traces/99", 404, "not_found"),
        ("/api/v1/traces/0", 400, "bad_parameter"),
        ("/api/v1/traces/1?format=zip", 400, "bad_parameter"),
        ("/api/v1/traces/%ff", 400, "bad_parameter"),
        ("/api/v1/traces/99/critical-path", 404, "not_found"),
        ("/api/v1/operations", 400, "bad_parameter"),
        ("/api/v1/compare?a=99&b=99", 404, "not_found"),
        ("/api/v1/compare?a=99&b=normal", 501, "not_implemented"),
        ("/api/v1/nothing", 404, "not_found"),
    ];
    for (path, status, code) in cases {
        let answer = get(api.address, path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{path}: {answer:?}");
    }
    assert_eq!(get(api.address, cases[0].0).await.json()["at"], json!(12));
}

#[tokio::test]
async fn a_trace_is_answered_in_every_form() {
    let api = served().await;
    let path = format!("/api/v1/traces/{}", trace(1));
    let plain = get(api.address, &path).await.json();
    assert_eq!(
        (&plain["spans"][1]["start_ns"], &plain["spans"][1]["parent"]),
        (&json!(200), &json!("0000000000000001"))
    );
    assert_eq!(plain["processes"][plain["spans"][0]["process"].as_u64().unwrap() as usize]["host"], json!("here"));
    let of = async |format: &str| {
        let answer = get(api.address, &format!("{path}?format={format}")).await;
        assert_eq!(answer.status, 200, "{format}: {answer:?}");
        answer
    };
    assert_eq!(of("json").await.json(), plain);
    let columns = of("columns").await.json();
    assert_eq!((&columns["parent"], &columns["start_ns"]), (&json!([-1, 0]), &json!([0, 200])));
    assert_eq!(of("otlp").await.json()["resourceSpans"].as_array().unwrap().len(), 2);
    assert_eq!(of("jaeger").await.json()["data"][0]["traceID"], json!(trace(1).to_string()));
    assert!(of("perfetto").await.body.windows(6).any(|six| six == b"charge"));
    let phases = of("chrome").await.json();
    let phases = phases["traceEvents"].as_array().unwrap().iter().map(|event| event["ph"].as_str().unwrap().to_owned());
    assert_eq!(phases.collect::<String>(), "MMXXsf");
    let csv = of("csv").await;
    let lines = String::from_utf8(csv.body.clone()).unwrap();
    assert!(csv.header("content-disposition").unwrap().contains(".csv") && lines.lines().count() == 3, "{lines}");
}

#[tokio::test]
async fn the_path_sums_to_the_trace_and_the_comparison_to_the_difference() {
    let api = served().await;
    let path = get(api.address, &format!("/api/v1/traces/{}/critical-path", trace(1))).await.json();
    assert_eq!(path["duration_ns"], json!(500));
    for part in ["spans", "services"] {
        let sum: u64 = path[part].as_array().unwrap().iter().map(|share| share["self_ns"].as_u64().unwrap()).sum();
        assert_eq!(sum, 500, "{part}");
    }
    assert_eq!(path["services"], json!([{"service": "cart", "self_ns": 450}, {"service": "till", "self_ns": 50}]));
    let compared = get(api.address, &format!("/api/v1/compare?a={}&b={}", trace(1), trace(2))).await.json();
    let deltas = compared["rows"].as_array().unwrap().iter().map(|row| row["delta_ns"].as_i64().unwrap());
    assert_eq!((deltas.sum::<i64>(), &compared["delta_ns"]), (400, &json!(400)));
}

#[tokio::test]
async fn names_state_and_the_file_are_answered() {
    let api = served().await;
    let data = async |path: &str| get(api.address, path).await.json();
    assert_eq!(data("/api/v1/services").await, json!({"services": [{"name": "cart"}, {"name": "till"}]}));
    assert_eq!(data("/api/v1/services?from=now-1h").await, json!({"services": []}));
    let operations = json!({"operations": [{"name": "GET /", "kind": "server"}]});
    assert_eq!(data("/api/v1/operations?service=cart").await, operations);
    let status = data("/api/v1/status").await;
    assert_eq!(
        (&status["n_traces"], &status["agents"][0]["host"], &status["drops"]["malformed"]),
        (&json!(2), &json!("here"), &json!(2))
    );
    assert_eq!(data("/api/v1/openapi.json").await["openapi"], json!("3.1.0"));
    assert_eq!(get(api.address, "/healthz").await.body, b"ok\n");
    assert_eq!(get(api.address, "/ready").await.status, 200);
    api.library.close().await;
    assert_eq!(get(api.address, "/ready").await.status, 503);
}

#[tokio::test]
async fn answers_are_compressed_and_not_sent_twice() {
    let api = served().await;
    let path = "/api/v1/openapi.json";
    let plain = get(api.address, path).await;
    let packed = get_with(api.address, path, &[("accept-encoding", "br, gzip")]).await;
    assert_eq!((packed.header("content-encoding"), packed.unpacked()), (Some("gzip"), plain.body.clone()));
    assert!(packed.body.len() < plain.body.len() / 4);
    let tag = plain.header("etag").unwrap();
    assert_eq!(packed.header("etag"), Some(tag));
    let again = get_with(api.address, path, &[("if-none-match", tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[tokio::test]
async fn a_search_that_runs_out_of_time_says_so() {
    let query = QueryConfig { timeout_s: 0, ..config().query };
    let api = serve(Config { query, ..config() }, Guards::default()).await;
    let answer = get(api.address, "/api/v1/search").await.json();
    assert_eq!((ids(&answer).len(), &answer["partial"][0]["reason"]), (0, &json!("timeout")));
    let classic = get(api.address, "/api/traces?start=0&end=2000000000000000").await;
    assert_eq!((classic.status, classic.header("backsight-partial")), (200, Some("timeout")));
}
