//! Comparing one file on two volumes.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::cancel::{Cancel, Limits};
use crate::cycle::{Event, Site, SiteName};
use crate::digest::{Digesting, Files, digest};
use crate::error::{Error, Result};
use crate::proof::{self, Proof};
use crate::site::unused_mapping;

/// Compares the file at `path` (from the volumes' roots on, or `gfid:UUID`) on two volumes, shard by shard, both sites
/// at the same time. Both files must be still meanwhile.
///
/// # Errors
/// When the primary doesn't have the file, or what a site has can't be read or known. A file that the secondary
/// doesn't have, or has differently, is no error but a proof that doesn't hold.
pub fn verify(
    primary: &Site,
    secondary: &Site,
    path: &str,
    threads: Option<NonZeroUsize>,
    cancel: &Cancel,
    observer: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Proof> {
    let (near, far) = (primary.open()?, secondary.open()?);
    let mappings = [&primary.mappings[..], &secondary.mappings[..]].concat();
    if let Some(brick) = unused_mapping(&mappings, &[near.topology(), far.topology()]) {
        return Err(Error::UnusedMapping { brick: brick.to_string() });
    }
    let files = Files::single(path);
    let limits = Limits::new(cancel, Duration::MAX);
    let going_on = || limits.check();
    let how = Digesting { threads, observer, going_on: &going_on };
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| digest(SiteName::Secondary, secondary, &files, &how));
        let ours = digest(SiteName::Primary, primary, &files, &how);
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
