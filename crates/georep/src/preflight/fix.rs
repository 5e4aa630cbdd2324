//! Setting options right.

use serde::{Deserialize, Serialize};

use super::{Check, Finding};
use crate::error::Error;
use crate::session::Session;

/// An option, and the value that sets a finding right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fix {
    /// An option of the session. Setting it restarts workers that run, but for `log-rsync-performance`.
    Session {
        /// The option, as this Gluster spells it.
        option: String,
        /// Its value.
        value: String,
    },
    /// An option of the primary volume: everybody who uses the volume is concerned.
    PrimaryVolume {
        /// The option.
        option: String,
        /// Its value.
        value: String,
    },
}

impl Fix {
    pub(super) fn session(option: &str, value: &str) -> Self {
        Self::Session { option: option.to_owned(), value: value.to_owned() }
    }

    pub(super) fn primary(option: &str, value: &str) -> Self {
        Self::PrimaryVolume { option: option.to_owned(), value: value.to_owned() }
    }
}

impl std::fmt::Display for Fix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session { option, value } => write!(f, "the session's {option} to '{value}'"),
            Self::PrimaryVolume { option, value } => write!(f, "the primary volume's {option} to '{value}'"),
        }
    }
}

/// An option that was set, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// What was found, one for each finding that the option sets right.
    pub what: Vec<Check>,
    /// What was set.
    pub fix: Fix,
}

/// Sets the options that set `findings` right, those of which `allowed` says yes, each once. What a finding asks for
/// that is no option is left alone. Stops at the first that is refused.
///
/// # Errors
/// What was set before, with the error of the one that could not be set.
pub fn apply(
    session: &Session,
    findings: &[Finding],
    allowed: &dyn Fn(&Finding, &Fix) -> bool,
) -> Result<Vec<Fixed>, (Vec<Fixed>, Error)> {
    let mut done: Vec<Fixed> = Vec::new();
    for finding in findings {
        let Some(fix) = finding.fix.as_ref().filter(|fix| allowed(finding, fix)) else { continue };
        if let Some(same) = done.iter_mut().find(|d| d.fix == *fix) {
            same.what.push(finding.what);
            continue;
        }
        let set = match fix {
            Fix::Session { option, value } => session.set_config(option, value),
            Fix::PrimaryVolume { option, value } => session.set_primary_option(option, value),
        };
        match set {
            Ok(()) => done.push(Fixed { what: vec![finding.what], fix: fix.clone() }),
            Err(error) => return Err((done, error)),
        }
    }
    Ok(done)
}
