//! Claims about Jaeger's API of both generations: what Grafana and Jaeger's page ask is answered as Jaeger answers it.

use super::client::get;
use super::served;
use crate::library::tests::traces::trace;
use serde_json::{Value, json};

/// All that is stored, in the classic API's microseconds.
const ALL: &str = "start=1000000000000000&end=1000000000001000";
/// The same for the third generation.
const ALL_V3: &str = "query.startTimeMin=2001-09-09T01:46:40Z&query.startTimeMax=2001-09-09T01:46:41Z";

fn ids(answer: &Value) -> Vec<String> {
    let traces = answer["data"].as_array().unwrap();
    traces.iter().map(|trace| trace["traceID"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn grafana_finds_names_and_traces() {
    let api = served().await;
    let data = async |path: &str| {
        let answer = get(api.address, path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json")),
            "{path}: {answer:?}"
        );
        answer.json()
    };
    let expected = json!({"data": ["cart", "till"], "total": 2, "limit": 0, "offset": 0, "errors": null});
    assert_eq!(data("/api/services").await, expected);
    assert_eq!(data("/api/services/cart/operations").await["data"], json!(["GET /"]));
    let operation = json!([{"name": "charge", "spanKind": "server"}]);
    assert_eq!(data("/api/operations?service=till&spanKind=server").await["data"], operation);
    assert_eq!(data("/api/operations?service=till&spanKind=client").await["data"], json!([]));

    let (older, newer) = (trace(1).to_string(), trace(2).to_string());
    let found = async |query: &str| ids(&data(&format!("/api/traces?{ALL}&{query}")).await);
    assert_eq!(found("service=cart&limit=20").await, [&*newer, &*older]);
    assert_eq!(found("service=cart&limit=1").await, [&*newer]);
    assert_eq!(found("service=till&operation=charge").await, [&*older]);
    assert_eq!(found("service=cart&operation=charge").await, [""; 0]);
    assert_eq!(found("service=cart&minDuration=800ns").await, [&*newer]);
    assert_eq!(found("tags=%7B%22error%22%3A%22true%22%7D").await, [&*older]);
    assert_eq!(found("service=nobody").await, [""; 0]);
    assert_eq!(ids(&data("/api/traces?service=cart").await), [""; 0], "the last two days alone");

    let one = data(&format!("/api/traces/{older}?prettyPrint=true")).await;
    let spans = one["data"][0]["spans"].as_array().unwrap();
    assert_eq!(
        (spans.len(), &spans[0]["operationName"], &spans[0]["startTime"]),
        (2, &json!("GET /"), &json!(1_000_000_000_000_001_u64))
    );
    assert_eq!(spans[1]["references"][0]["spanID"], json!("0000000000000001"));
    assert_eq!(one["data"][0]["processes"]["p2"]["serviceName"], json!("till"));
    let named = data(&format!("/api/traces?traceID={older}&traceID=99")).await;
    assert_eq!((ids(&named).len(), &named["errors"][0]["traceID"]), (1, &json!("0000000000000099")));
    let calls = data("/api/dependencies?endTs=1000000000001&lookback=1000").await;
    assert_eq!(calls["data"], json!([{"parent": "cart", "child": "till", "callCount": 1}]));
    api.web.stop().await;
}

#[tokio::test]
async fn what_jaeger_refuses_is_refused_in_its_envelope() {
    let api = served().await;
    let cases = [
        ("/api/traces/99", 404, "trace not found"),
        ("/api/traces/no-id", 400, "strconv.ParseUint: parsing \"no-id\": invalid syntax"),
        ("/api/traces?start=x", 400, "unable to parse param 'start': strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("/api/operations", 400, "parameter 'service' is required"),
        ("/api/nothing", 404, "no endpoint is at /api/nothing"),
    ];
    for (path, status, msg) in cases {
        let answer = get(api.address, path).await;
        let expected =
            json!({"data": null, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": status, "msg": msg}]});
        assert_eq!((answer.status, answer.json()), (status, expected), "{path}");
    }
    assert_eq!(get(api.address, "/api/metrics/latencies?service=cart&quantile=0.9").await.status, 501);
}

#[tokio::test]
async fn the_third_generation_answers_otlp_and_summaries() {
    let api = served().await;
    let data = async |path: &str| {
        let answer = get(api.address, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    };
    assert_eq!(data("/api/v3/services").await, json!({"services": ["cart", "till"]}));
    let operations = json!({"operations": [{"name": "charge", "spanKind": "server"}]});
    assert_eq!(data("/api/v3/operations?service=till").await, operations);

    let found = data(&format!("/api/v3/traces?{ALL_V3}&query.serviceName=till")).await;
    let resources = found["result"]["resourceSpans"].as_array().unwrap();
    assert_eq!(resources.len(), 2);
    assert_eq!(
        resources[1]["resource"]["attributes"][0],
        json!({"key": "service.name", "value": {"stringValue": "till"}})
    );
    let span = &resources[1]["scopeSpans"][0]["spans"][0];
    assert_eq!(
        (&span["traceId"], &span["parentSpanId"], &span["status"]["code"]),
        (&json!(trace(1).to_string()), &json!("0000000000000001"), &json!(2))
    );
    assert_eq!(data(&format!("/api/v3/traces/{}", trace(1))).await, found);

    let summaries = data(&format!("/api/v3/trace-summaries?{ALL_V3}")).await;
    let older = &summaries["summaries"][1];
    assert_eq!(
        (&older["rootServiceName"], &older["spanCount"], &older["errorSpanCount"]),
        (&json!("cart"), &json!(2), &json!(1))
    );

    let cases = [
        (format!("/api/v3/traces?{ALL_V3}&query.serviceName=nobody"), 404, "No traces found"),
        ("/api/v3/traces".to_owned(), 400, "query.startTimeMin and query.startTimeMax are required"),
        ("/api/v3/traces/99".to_owned(), 404, "No traces found"),
        ("/api/v3/nothing".to_owned(), 404, "no endpoint is at /api/v3/nothing"),
    ];
    for (path, status, message) in cases {
        let answer = get(api.address, &path).await;
        let expected = json!({"error": {"httpCode": status, "message": message}});
        assert_eq!((answer.status, answer.json()), (status, expected), "{path}");
    }
}
