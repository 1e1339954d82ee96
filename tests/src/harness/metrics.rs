//! Prometheus text, as far as a bench asks of it: the value of one metric.
//!
//! Called with what an agent's admin socket answers to `GET /metrics`; it understands no timestamps and no escapes in labels.

/// Returns the sum of all values of metric `name` in `text`, over all its labels; `None` where there is no such metric.
#[must_use]
pub fn value(text: &str, name: &str) -> Option<f64> {
    let of_line = |line: &str| -> Option<f64> {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.split_once("} ")?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.trim().parse().ok()
    };
    text.lines().filter_map(of_line).reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests;
