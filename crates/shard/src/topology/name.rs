//! Names of bricks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::ShardError;

/// A brick's name: `HOST:/path`, or the path alone where the host is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrickName {
    /// The host, as the volume has it.
    pub host: Option<String>,
    /// The brick's root on that host, absolute.
    pub path: PathBuf,
}

impl BrickName {
    /// The name of the brick at `path` on `host`.
    #[must_use]
    pub fn new(host: &str, path: impl Into<PathBuf>) -> Self {
        Self { host: Some(host.to_owned()), path: path.into() }
    }

    /// The name of a brick of which only the local directory is known.
    #[must_use]
    pub fn local(path: impl AsRef<Path>) -> Self {
        Self { host: None, path: path.as_ref().to_owned() }
    }

    /// The name in place of a brick that must exist, and was not given: a path that is not absolute.
    pub(super) fn not_given(subvolume: &str, number: usize) -> Self {
        Self { host: None, path: PathBuf::from(format!("brick {} of {subvolume}", number + 1)) }
    }

    /// Whether it names a brick, and does not only stand for one that bricks alone prove to exist.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.host.is_some() || self.path.is_absolute()
    }
}

impl fmt::Display for BrickName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

impl FromStr for BrickName {
    type Err = ShardError;

    /// Splits at the *last* `:/`, since a host may be an IPv6 address.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.rfind(":/") {
            Some(at) if at > 0 => Ok(Self::new(&text[..at], &text[at + 1..])),
            _ => Err(ShardError::Spec {
                what: format!("brick name {text:?}"),
                problem: "it is not of the form HOST:/path".to_owned(),
            }),
        }
    }
}

impl Serialize for BrickName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_splits_at_the_last_colon_slash() {
        for (text, host, path) in [
            ("siteA:/bricks/b0", "siteA", "/bricks/b0"),
            ("fe80::1:/bricks/b0", "fe80::1", "/bricks/b0"),
            ("h:/a:/b", "h:/a", "/b"),
        ] {
            let name: BrickName = text.parse().unwrap();
            assert_eq!((name.host.as_deref(), name.path.to_str()), (Some(host), Some(path)));
            assert_eq!(name.to_string(), text);
        }
        for bad in ["", "/bricks/b0", ":/b", "host", "host:b"] {
            assert!(bad.parse::<BrickName>().is_err(), "{bad}");
        }
    }
}
