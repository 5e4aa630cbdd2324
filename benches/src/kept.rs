//! Results that are kept from run to run, so that what became slower is seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::side_by_side::Comparison;

/// Times differ by so much from run to run without a reason, at least.
const NOISE: f64 = 0.1;

/// A result of ours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// The best wall time, in seconds.
    wall: f64,
    /// The first peer's best wall time by ours.
    ratio: f64,
    /// How far the run in the middle was from the best, by the best.
    spread: f64,
}

impl Kept {
    fn of(comparison: &Comparison) -> Self {
        let wall = comparison.ours.best.wall.as_secs_f64();
        let spread = comparison.ours.median.wall.as_secs_f64() / wall.max(f64::MIN_POSITIVE) - 1.0;
        Self { wall, ratio: comparison.ratio(), spread }
    }
}

/// All that was kept.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    kept: BTreeMap<String, Kept>,
}

impl Results {
    /// Those in the file `path`; none where it isn't there.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open(path: PathBuf) -> Result<Self> {
        let kept = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
        };
        Ok(Self { path, kept })
    }

    /// Tells in words how ours became slower than the kept result: it takes longer, and is further behind the first
    /// peer, both by more than noise. One of the two alone is the machine's doing, or the peer's.
    ///
    /// Only what is not worse by either is kept, or what is to be accepted: a busy machine's results hide nothing later.
    pub fn compare_and_keep(&mut self, comparison: &Comparison, accept: bool) -> Option<String> {
        let now = Kept::of(comparison);
        let Some(before) = self.kept.get(&comparison.what).copied() else {
            self.kept.insert(comparison.what.clone(), now);
            return None;
        };
        let (longer, behind) = (now.wall / before.wall - 1.0, before.ratio / now.ratio - 1.0);
        if accept || (longer <= NOISE && behind <= NOISE) {
            self.kept.insert(comparison.what.clone(), now);
        }
        let noise = NOISE.max(before.spread).max(now.spread);
        (longer > noise && behind > noise).then(|| {
            format!(
                "SLOWER: {:.3} ms and ratio {:.2} before, now {:.3} ms and {:.2}; noise is {:.0} %",
                before.wall * 1e3,
                before.ratio,
                now.wall * 1e3,
                now.ratio,
                noise * 100.0
            )
        })
    }

    /// Writes them for the next run.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save(&self) -> Result<()> {
        let parent = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).with_context(|| format!("{}", parent.display()))?;
        let text = serde_json::to_string_pretty(&self.kept)?;
        fs::write(&self.path, text + "\n").with_context(|| format!("{}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cost::Cost;
    use crate::side_by_side::Timing;

    fn comparison(ours: u64, median: u64, peer: u64) -> Comparison {
        let cost = |ms| Cost { wall: Duration::from_millis(ms), cpu: Duration::ZERO };
        let timing =
            |name: &str, best, median| Timing { name: name.into(), best: cost(best), median: cost(median) };
        Comparison {
            what: "a thing".into(),
            ours: timing("ours", ours, median),
            peers: vec![timing("theirs", peer, peer)],
            bytes: None,
        }
    }

    #[test]
    fn only_what_takes_longer_and_falls_behind_is_slower_and_it_is_told_until_accepted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("kept/results.json");
        let mut results = Results::open(path.clone()).expect("nothing is there");
        assert_eq!(results.compare_and_keep(&comparison(100, 102, 400), false), None);
        results.save().expect("it can be written");

        let mut results = Results::open(path).expect("it was written");
        let slower = |results: &mut Results, comparison: &Comparison, accept| {
            results.compare_and_keep(comparison, accept).is_some()
        };
        // Within noise; a busy machine; a peer that became faster; rounds that differ more than the results do.
        assert!(!slower(&mut results, &comparison(109, 110, 400), false));
        assert!(!slower(&mut results, &comparison(200, 200, 800), false));
        assert!(!slower(&mut results, &comparison(100, 101, 200), false));
        assert!(!slower(&mut results, &comparison(140, 210, 400), false));
        for accept in [false, true] {
            assert!(slower(&mut results, &comparison(140, 141, 400), accept));
        }
        assert!(!slower(&mut results, &comparison(140, 141, 400), false));
    }
}
