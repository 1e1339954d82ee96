//! Requests of Jaeger's API from the text behind `?`: each is read or refused, and a search comes to one that is read as the same.
#![no_main]

use backsight_query::jaeger::params::{Dependencies, Metrics, One, Operations, Search, layout, quantile};
use backsight_query::jaeger::{Wanted, parse_trace_id, search_of, v3};
use backsight_query::language::parse;
use backsight_query::params::Params;
use libfuzzer_sys::fuzz_target;

fn check(wanted: &Wanted) {
    let Ok(query) = search_of(wanted) else { return };
    // Printed, texts may take more room than a search may have.
    if let Ok(read) = parse(&query.to_string(), 0) {
        assert_eq!(read, query);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = parse_trace_id(text);
    let Ok(params) = Params::parse(text) else { return };
    let id = params.get("traceID");
    if let Ok(search) = Search::parse(&params, 7) {
        check(&search.wanted);
    }
    if let Ok(search) = v3::Search::parse(&params) {
        assert!(search.start_ns < search.end_ns, "a search has a length");
        check(&search.wanted);
    }
    let _ = (One::parse(id, &params), v3::one(id, &params), Operations::parse(&params), quantile(&params));
    let _ = (Dependencies::parse(&params, 7), Metrics::parse(&params, 7), layout(&params), v3::operations(&params));
});
