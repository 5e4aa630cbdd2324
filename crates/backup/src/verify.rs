//! Comparing one file on two volumes.

use std::num::NonZeroUsize;
use std::time::Duration;

use stillpoint_shard::{BrickName, OnChoice, OpenOptions, ShardError, SplitBrainChoice, Topology, Volume};

use crate::cancel::{Cancel, Limits};
use crate::cycle::{Event, Site, SiteName};
use crate::digest::{Digesting, Files, digest_volume};
use crate::error::{Error, Result};
use crate::proof::{self, Proof};
use crate::site::{open_with, unused_mapping};

/// How two volumes are read to be compared.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// How many threads digest at each site; see [`ManifestOptions`](crate::manifest::ManifestOptions).
    pub threads: Option<NonZeroUsize>,
    /// Reads all good copies, or all fragments, at both sites, and takes a difference between them for an error: see
    /// [`OpenOptions::compare`].
    pub compare: bool,
    /// Which copies are believed in split-brain, at whichever site they are: see [`OpenOptions::split_brain`]. One that
    /// names a brick counts at the site that has it. What they decide is in [`Proof::choices`].
    pub split_brain: Vec<SplitBrainChoice>,
    /// Told of each choice when it is made: see [`OpenOptions::on_choice`].
    pub on_choice: Option<OnChoice>,
}

impl VerifyOptions {
    /// How a site's volume is opened.
    fn of_site(&self, topology: &Topology) -> OpenOptions {
        let is_here = |rule: &&SplitBrainChoice| match rule {
            SplitBrainChoice::SourceBrick(brick) => has(topology, brick),
            _ => true,
        };
        OpenOptions {
            compare: self.compare,
            split_brain: self.split_brain.iter().filter(is_here).cloned().collect(),
            on_choice: self.on_choice.clone(),
            ..OpenOptions::default()
        }
    }

    /// Refuses a rule that names a brick of neither site.
    fn check(&self, near: &Topology, far: &Topology) -> Result<()> {
        for rule in &self.split_brain {
            if let SplitBrainChoice::SourceBrick(brick) = rule
                && !has(near, brick)
                && !has(far, brick)
            {
                let have = near.bricks().chain(far.bricks()).map(|known| known.name.clone()).collect();
                let volume = format!("{} or {}", near.volume, far.volume);
                return Err(ShardError::NoSuchBrick { brick: brick.clone(), volume, have }.into());
            }
        }
        Ok(())
    }
}

fn has(topology: &Topology, brick: &BrickName) -> bool {
    topology.bricks().any(|known| known.name == *brick)
}

/// Compares the file at `path` (from the volumes' roots on, or `gfid:UUID`) on two volumes, shard by shard, both sites
/// at the same time. Both files must be still meanwhile.
///
/// # Errors
/// When the primary doesn't have the file, what a site has can't be read or known, or a rule for split-brain names a brick
/// of neither. A file that the secondary
/// doesn't have, or has differently, is no error but a proof that doesn't hold.
pub fn verify(
    primary: &Site,
    secondary: &Site,
    path: &str,
    options: &VerifyOptions,
    cancel: &Cancel,
    observer: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Proof> {
    let (near, far) = (primary.spec.topology()?, secondary.spec.topology()?);
    let mappings = [&primary.mappings[..], &secondary.mappings[..]].concat();
    if let Some(brick) = unused_mapping(&mappings, &[&near, &far]) {
        return Err(Error::UnusedMapping { brick: brick.to_string() });
    }
    options.check(&near, &far)?;
    let open = |site: &Site, topology: Topology| -> Result<Volume> {
        let options = options.of_site(&topology);
        open_with(topology, &site.mappings, options)
    };
    let (near, far) = (open(primary, near)?, open(secondary, far)?);
    let files = Files::single(path);
    let limits = Limits::new(cancel, Duration::MAX);
    let going_on = || limits.check();
    let how = Digesting { threads: options.threads, observer, going_on: &going_on };
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| digest_volume(SiteName::Secondary, &far, &files, &how));
        let ours = digest_volume(SiteName::Primary, &near, &files, &how);
        let theirs = theirs
            .join()
            .unwrap_or_else(|_| Err(Error::Internal("digesting the secondary panicked".to_owned())));
        (ours, theirs)
    });
    let mut proof = proof::compare(&ours?.manifest, &theirs?.manifest);
    if !proof.holds {
        proof::locate(&mut proof, &near, &far);
    }
    Ok(proof)
}
