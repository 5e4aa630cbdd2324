//! Where shards that differ lie.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stillpoint_shard::{ShardState, ShardedFile, Standing, Volume};

use super::Proof;

/// One brick's copy of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The brick, `HOST:/PATH`.
    pub brick: String,
    /// The file, on this host.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// Whether it is the copy that was digested.
    pub digested: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.brick, self.path.display())
    }
}

/// Fills in where each shard that a proof lists lies at both sites. What can't be found stays empty.
pub fn locate(proof: &mut Proof, primary: &Volume, secondary: &Volume) {
    for difference in &mut proof.differences {
        let open = |volume: &Volume| volume.open_file(&difference.path.parse().ok()?).ok();
        let (primary, secondary) = (open(primary), open(secondary));
        for shard in &mut difference.shards {
            shard.primary_places = places(primary.as_ref(), shard.index);
            shard.secondary_places = places(secondary.as_ref(), shard.index);
        }
    }
}

fn places(file: Option<&ShardedFile>, index: u64) -> Vec<Place> {
    let Some(Ok(ShardState::Present(shard))) = file.map(|file| file.shard(index)) else { return Vec::new() };
    shard
        .copies
        .iter()
        .map(|copy| Place {
            brick: copy.brick.to_string(),
            path: copy.local.clone(),
            len: copy.len,
            digested: copy.standing == Standing::Chosen,
        })
        .collect()
}
