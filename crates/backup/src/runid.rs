//! The name of a run.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The name of one run, such as `20261123T051234Z-4f1c`: when it began (UTC) and four digits that keep two runs of the
/// same second apart. It sorts by time, and fits into file names and libvirt's names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// The name of a run that begins at `now`; `salt` is anything that differs between attempts.
    #[must_use]
    pub fn new(now: Timestamp, salt: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&now.as_nanosecond().to_be_bytes());
        hasher.update(&salt.to_be_bytes());
        hasher.update(&std::process::id().to_be_bytes());
        let digest = hasher.finalize();
        let [a, b, ..] = *digest.as_bytes();
        Self(format!("{}-{a:02x}{b:02x}", now.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// The tag that the run's overlays and snapshots carry in their names: `stillpoint-` and the run's name.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("stillpoint-{}", self.0)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no run's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no run's name; one looks like 20261123T051234Z-4f1c")]
pub struct NotARunId {
    /// The text.
    text: String,
}

impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, NotARunId> {
        let shape = b"ddddddddTddddddZ-hhhh";
        let fits = text.len() == shape.len()
            && text.bytes().zip(shape).all(|(byte, kind)| match kind {
                b'd' => byte.is_ascii_digit(),
                b'h' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
                literal => byte == *literal,
            });
        if fits { Ok(Self(text.to_owned())) } else { Err(NotARunId { text: text.to_owned() }) }
    }
}

impl TryFrom<String> for RunId {
    type Error = NotARunId;

    fn try_from(text: String) -> Result<Self, NotARunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_reads_back_and_sorts_by_time() {
        let early = RunId::new("2026-11-23T05:12:34.9Z".parse().expect("a time"), 0);
        let late = RunId::new("2026-11-23T05:12:35Z".parse().expect("a time"), 0);
        assert_eq!(early.as_str().parse(), Ok(early.clone()));
        assert!(early.as_str().starts_with("20261123T051234Z-") && early < late);
    }

    #[test]
    fn a_text_that_could_leave_a_directory_is_no_name() {
        for text in [
            "",
            "..",
            "../../etc",
            "20261123T051234Z-4F1C",
            "20261123T051234Z-4f1c/",
            "20261123T051234Z/4f1c",
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
