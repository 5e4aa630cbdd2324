//! Errors in one line.

use std::error::Error;

/// An error with all its causes in one line, but those whose words came before.
///
/// ```
/// use std::path::Path;
///
/// use stillpoint_qcow2::{Source, with_causes};
///
/// let missing = Source::open(Path::new("/no/such/image.qcow2")).expect_err("there is none");
/// assert!(with_causes(&missing).starts_with("No such file or directory"));
/// ```
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = told + ": " + &text;
        }
        next = cause.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Told>>,
    }

    #[test]
    fn a_cause_is_told_once_and_none_is_left_out() {
        let chain = |texts: &[&'static str]| {
            let made = texts.iter().rev().fold(None, |source, text| Some(Box::new(Told { text, source })));
            with_causes(&*made.expect("there is one"))
        };
        assert_eq!(
            chain(&["can't run", "can't open a: no such file", "no such file"]),
            "can't run: can't open a: no such file"
        );
        assert_eq!(chain(&["first", "second", "third"]), "first: second: third");
    }
}
