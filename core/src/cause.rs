//! Errors with their causes, in one line.
//!
//! Called wherever an error leaves for a log, an answer or another process, which has no room for a chain of lines.

use std::error::Error;

/// Returns an error with all of its causes, as `what: why: why`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Returns the first of an error's causes, or the error itself where it has none.
pub fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    std::iter::successors(Some(error), |error| (**error).source()).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::{chain, root};

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Step(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn every_cause_is_named_in_order() {
        let error = Step("open the store", Some(Box::new(Step("read `a`", Some(Box::new(Step("denied", None)))))));
        assert_eq!(chain(&error), "open the store: read `a`: denied");
        assert_eq!(chain(&Step("alone", None)), "alone");
    }

    #[test]
    fn the_first_cause_is_the_innermost() {
        let error = Step("open the store", Some(Box::new(Step("read `a`", Some(Box::new(Step("denied", None)))))));
        assert_eq!(root(&error).to_string(), "denied");
        assert_eq!(root(&Step("alone", None)).to_string(), "alone");
    }
}
