//! Which bricks are of one subvolume.

use std::path::Path;

use super::look::{Own, Range};
use crate::ShardError;

/// The bricks of one subvolume.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) shard: Option<Range>,
    pub(super) root: Option<Range>,
    pub(super) bricks: Vec<Own>,
}

impl Group {
    /// Whether a brick without a range in `/.shard` is one of these: by its range in the root or, where it has none
    /// there either, as a brick that is new or being removed, by its files.
    fn is_of(&self, own: &Own) -> bool {
        match own.root {
            Some(_) => self.root == own.root,
            None => self.bricks.iter().any(|brick| have_the_same_files(brick, own)),
        }
    }
}

/// Whether most of what one of two bricks has is on the other, too. A file on its way from one subvolume to
/// another is a link file on one of both.
fn have_the_same_files(a: &Own, b: &Own) -> bool {
    // Each knows the files of the smallest gfids: beyond the smaller end it is not known what it has.
    let end =
        a.files.last_key_value().map(|(gfid, _)| gfid).min(b.files.last_key_value().map(|(gfid, _)| gfid));
    let Some(end) = end else { return false };
    let common = a.files.keys().filter(|gfid| b.files.contains_key(gfid)).count();
    let within = |own: &Own| own.files.range(..=end).count();
    common > 0 && common * 2 > within(a).max(within(b))
}

/// Takes away the bricks that hold nothing of the volume, as after `add-brick` and before the layout is fixed: no range
/// of hashes, no file and no link file. Nothing tells which of them are of one subvolume, and nothing depends on it.
pub(super) fn take_blank(found: &mut Vec<Own>) -> Vec<Own> {
    let is_blank = |own: &mut Own| {
        own.shard.is_none() && own.root.is_none() && own.files.is_empty() && own.targets.is_empty()
    };
    found.extract_if(.., is_blank).collect()
}

/// Puts bricks with the same range together: in `/.shard`, or in the root where that has none.
pub(super) fn group(found: Vec<Own>) -> Result<Vec<Group>, ShardError> {
    let mut groups: Vec<Group> = Vec::new();
    // Those with a range in /.shard first, so that a brick that missed its making finds its set by the root's.
    let (with, without): (Vec<Own>, Vec<Own>) = found.into_iter().partition(|own| own.shard.is_some());
    for own in with.into_iter().chain(without) {
        let same = |group: &&mut Group| match own.shard {
            Some(_) => group.shard == own.shard,
            None => group.is_of(&own),
        };
        match groups.iter_mut().find(same) {
            Some(group) if own.root.is_some() && group.root != own.root => {
                return Err(contradiction(
                    &own.name.path,
                    "of the root and of /.shard put it into different sets",
                ));
            }
            Some(group) => group.bricks.push(own),
            None => groups.push(Group { shard: own.shard, root: own.root, bricks: vec![own] }),
        }
    }
    for of in [|group: &Group| group.shard, |group: &Group| group.root] {
        for pair in sorted(&groups, of).windows(2) {
            if let [((_, stop), _), ((start, _), group)] = pair
                && start <= stop
                && let Some(brick) = group.bricks.first()
            {
                return Err(contradiction(&brick.name.path, "overlaps another's"));
            }
        }
    }
    groups.sort_by_key(|group| (group.shard.is_none(), group.shard, group.root));
    Ok(groups)
}

/// The hashes that belong to no group: at least one subvolume for each such range is missing. Where no brick has any,
/// as before the first directory of a volume of one subvolume was made, nothing is proven.
pub(super) fn gaps(groups: &[Group]) -> Vec<Range> {
    let of = |group: &Group| group.shard;
    let ranges = match sorted(groups, of) {
        // Where nobody has a range in /.shard, as before the first shard was made.
        ranges if ranges.is_empty() => sorted(groups, |group| group.root),
        ranges => ranges,
    };
    let mut gaps = Vec::new();
    if ranges.is_empty() {
        return gaps;
    }
    let mut next = Some(0_u32);
    for ((start, stop), _) in ranges {
        if let Some(next) = next
            && start > next
        {
            gaps.push((next, start - 1));
        }
        next = stop.checked_add(1);
    }
    gaps.extend(next.map(|next| (next, u32::MAX)));
    gaps
}

fn sorted(groups: &[Group], of: impl Fn(&Group) -> Option<Range>) -> Vec<(Range, &Group)> {
    let mut ranges: Vec<_> = groups.iter().filter_map(|group| Some((of(group)?, group))).collect();
    ranges.sort_unstable_by_key(|(range, _)| *range);
    ranges
}

fn contradiction(path: &Path, problem: &str) -> ShardError {
    ShardError::NotABrick {
        path: path.to_owned(),
        problem: format!("its DHT layout {problem}; describe the volume by glusterd's directory of it"),
    }
}
