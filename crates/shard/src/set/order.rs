//! Stripes of files to tell the order of a dispersed set's bricks by.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use uuid::Uuid;

use super::{Copy, Seen, Set};
use crate::ShardError;
use crate::disperse::{CHUNK, Code, FoundOrder, Sample, search_order};
use crate::topology::smallest_gfids;
use crate::tree::{Directory, FoundDirectory, Handle};

/// So many files are looked at for the end of their last stripe, and for stripes that are full.
const PADDED: usize = 64;
const FULL: usize = 32;

/// What was found of the order of a set's bricks.
#[derive(Debug)]
pub(crate) struct FoundPlaces {
    /// The numbers of the bricks that are here.
    pub(crate) here: Vec<usize>,
    pub(crate) order: FoundOrder,
    /// How many files it was asked of.
    pub(crate) files: usize,
    /// Whether a brick has a file that is neither empty nor a link file, of those that were looked at.
    pub(crate) any_data: bool,
}

impl Set {
    /// The order of the bricks that are here, by what the fragments on them decode to. Files that are not whole on all of
    /// them are not asked.
    pub(crate) fn find_order(&self, code: Code) -> Result<FoundPlaces, ShardError> {
        let here: Vec<usize> = (0..self.trees.len()).filter(|i| self.tree(*i).is_some()).collect();
        let mut roots = Vec::with_capacity(here.len());
        let mut gfids: Option<BTreeSet<Uuid>> = None;
        let mut any_data = false;
        for tree in here.iter().filter_map(|i| self.tree(*i)) {
            let root = tree.root()?;
            let own = smallest_gfids(tree, &root)?;
            for gfid in &own {
                any_data = any_data || matches!(tree.handle(&root, *gfid)?, Handle::File { len: 1.., .. });
            }
            gfids = Some(match gfids {
                Some(gfids) => gfids.intersection(&own).copied().collect(),
                None => own,
            });
            roots.push(root);
        }
        let (mut padded, mut full, mut files) = (Vec::new(), Vec::new(), 0);
        for gfid in gfids.unwrap_or_default() {
            if padded.len() >= PADDED && full.len() >= FULL {
                break;
            }
            let Some((size, copies)) = self.whole(code, &here, &roots, gfid)? else { continue };
            let stripe = code.stripe() as u64;
            let last = (size - 1) / stripe;
            let used = usize::try_from(size - last * stripe).unwrap_or(code.stripe());
            let before = padded.len() + full.len();
            if used < code.stripe() {
                padded.extend(read(&copies, last).and_then(|chunks| Sample::new(chunks, used, last == 0)));
            }
            if (last > 0 || used == code.stripe()) && full.len() < FULL {
                full.extend(read(&copies, 0).and_then(|chunks| Sample::new(chunks, code.stripe(), true)));
            }
            files += usize::from(padded.len() + full.len() > before);
        }
        padded.append(&mut full);
        Ok(FoundPlaces { order: search_order(code, here.len(), &padded), here, files, any_data })
    }

    /// The size and the fragments of a file, where all bricks that are here have one of the same state.
    fn whole(
        &self,
        code: Code,
        here: &[usize],
        roots: &[Directory],
        gfid: Uuid,
    ) -> Result<Option<(u64, Vec<Copy>)>, ShardError> {
        let name = gfid.to_string();
        let path = Path::new(".glusterfs").join(&name[..2]).join(&name[2..4]);
        let mut copies: Vec<Copy> = Vec::with_capacity(here.len());
        for (&i, root) in here.iter().zip(roots) {
            let Some(tree) = self.tree(i) else { return Ok(None) };
            let FoundDirectory::Directory(dir) = tree.directory(root, &path)? else { return Ok(None) };
            let Seen::Copy(copy) = self.look(i, &dir, Path::new(&name), false)? else { return Ok(None) };
            let (size, blame) = (copy.coded_size, &copy.blame);
            let is_whole = copy.gfid == gfid
                && copy.linkto.is_none()
                && size > 0
                && copy.open.len == code.fragment_len(size)
                && blame.unfinished == Default::default();
            let agrees = copies
                .first()
                .is_none_or(|first| (first.coded_size, first.blame.version) == (size, blame.version));
            if !is_whole || !agrees {
                return Ok(None);
            }
            copies.push(*copy);
        }
        Ok(copies.first().map(|copy| copy.coded_size).map(|size| (size, copies)))
    }
}

/// Each brick's chunk of a stripe; `None` where one can't be read.
fn read(copies: &[Copy], stripe: u64) -> Option<Vec<Vec<u8>>> {
    let chunk = |copy: &Copy| {
        let mut chunk = vec![0; CHUNK];
        copy.open.file.read_exact_at(&mut chunk, stripe.checked_mul(CHUNK as u64)?).ok()?;
        Some(chunk)
    };
    copies.iter().map(chunk).collect()
}
