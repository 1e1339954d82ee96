//! Claims about reading metrics.

use super::value;

const TEXT: &str = "# HELP backsight_agent_written_bytes_total Bytes in sealed chunks.
# TYPE backsight_agent_written_bytes_total counter
backsight_agent_written_bytes_total 1048576
backsight_agent_drops_total{reason=\"no_chunk\"} 3
backsight_agent_drops_total{reason=\"queue full\"} 4
backsight_agent_sessions 2
";

#[test]
fn a_metric_is_found_by_its_whole_name_and_summed_over_its_labels() {
    let check = |name, expected| assert_eq!(value(TEXT, name), expected, "{name}");
    check("backsight_agent_written_bytes_total", Some(1_048_576.0));
    check("backsight_agent_drops_total", Some(7.0));
    check("backsight_agent_sessions", Some(2.0));
    check("backsight_agent_session", None);
    check("backsight_agent", None);
}
