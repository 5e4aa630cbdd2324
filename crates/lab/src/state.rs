//! What the lab remembers between commands: `state.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{LabConfig, SiteName};
use crate::error::{IoContext, LabError, Result};

/// The version of `state.json` that this program writes and reads.
pub(crate) const VERSION: u32 = 1;

/// How far the lab is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// `up` has begun and not ended.
    Building,
    /// `up` has ended well.
    Up,
}

/// A process by its id and the time it was started, which together mean one process for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// Field 22 of `/proc/PID/stat` (proc(5)): ticks after boot.
    pub(crate) start: u64,
}

/// The content of `state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) version: u32,
    pub(crate) phase: Phase,
    /// The third number of the lab's 10.77.x.0/24.
    pub(crate) subnet: u8,
    pub(crate) config: LabConfig,
    /// The first process of each site; it holds the site's mount and UTS namespaces.
    pub(crate) init: BTreeMap<SiteName, ProcessId>,
    /// Seconds that each step of `up` took.
    pub(crate) timings: Vec<(String, f64)>,
}

impl State {
    pub(crate) fn new(config: LabConfig, subnet: u8) -> Self {
        Self {
            version: VERSION,
            phase: Phase::Building,
            subnet,
            config,
            init: BTreeMap::new(),
            timings: Vec::new(),
        }
    }

    /// Reads the file; `None` if there is none.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).io("read", path),
        };
        let damaged = |reason: String| LabError::Io {
            what: "understand",
            path: path.to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, reason),
        };
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let found: Versioned = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if found.version != VERSION {
            return Err(damaged(format!("its version is {}, this program knows {VERSION}", found.version)));
        }
        serde_json::from_str(&text).map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// Writes the file so that there is always a whole one.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| LabError::Invalid(format!("the lab's state cannot be written: {error}")))?;
        let beside = path.with_extension("new");
        fs::write(&beside, text).io("write", &beside)?;
        fs::rename(&beside, path).io("replace", path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_reads_back_as_it_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        assert_eq!(State::load(&path).unwrap(), None);
        let mut state = State::new(LabConfig::named("one"), 9);
        state.init.insert(SiteName::B, ProcessId { pid: 42, start: 77 });
        state.timings.push(("network".to_owned(), 0.5));
        state.save(&path).unwrap();
        assert_eq!(State::load(&path).unwrap(), Some(state));
    }

    #[test]
    fn another_version_or_a_torn_file_is_an_error_not_a_fresh_lab() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        fs::write(&path, r#"{"version": 2}"#).unwrap();
        assert!(State::load(&path).unwrap_err().to_string().contains("version is 2"));
        fs::write(&path, r#"{"version": 1, "pha"#).unwrap();
        assert!(State::load(&path).is_err());
    }
}
