//! Where copies differ, or fragments contradict each other, and which of them is off.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::disperse::{Code, Decoder};
use crate::set::Set;

/// Where pieces differ.
pub(super) struct Difference {
    /// The first byte.
    pub(super) from: u64,
    /// How many follow each other.
    pub(super) len: u64,
    /// The bricks that are off, where it can be told.
    pub(super) off: Vec<usize>,
}

/// The first run of bytes in which not all are the same.
fn first_run(all: &[&[u8]]) -> Option<(usize, usize)> {
    let (first, others) = all.split_first()?;
    if others.iter().all(|other| other == first) {
        return None;
    }
    let differs = |i: &usize| others.iter().any(|other| other.get(*i) != first.get(*i));
    let from = (0..first.len()).find(differs)?;
    let len = (from..first.len()).take_while(differs).count();
    Some((from, len))
}

/// Where copies on these bricks differ.
pub(super) fn copies(members: &[usize], pieces: &[&[u8]]) -> Option<Difference> {
    let (from, len) = first_run(pieces)?;
    let mut groups: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (member, piece) in members.iter().zip(pieces) {
        groups.entry(piece).or_default().push(*member);
    }
    let most = groups.values().map(Vec::len).max().unwrap_or(0);
    let mut off = Vec::new();
    if 2 * most > members.len() {
        off.extend(groups.into_values().filter(|group| group.len() < most).flatten());
        off.sort_unstable();
    }
    Some(Difference { from: from as u64, len: len as u64, off })
}

/// Decodes with each fragment that is not needed in the place of one that is.
pub(super) fn fragments(set: &Set, code: Code, members: &[usize], pieces: &[&[u8]]) -> Option<Difference> {
    let all: Vec<usize> = (0..members.len()).collect();
    let (from, len) = contradiction(set, code, members, pieces, &all)?;
    // One is off where all others agree, and there are enough of these to contradict each other.
    let mut off = Vec::new();
    if members.len() > code.data() + 1 {
        let agree_without = |left_out: &usize| {
            let others: Vec<usize> = all.iter().copied().filter(|at| at != left_out).collect();
            contradiction(set, code, members, pieces, &others).is_none()
        };
        let candidates: Vec<usize> = all.iter().copied().filter(agree_without).collect();
        if let [only] = candidates[..] {
            off.extend(members.get(only));
        }
    }
    Some(Difference { from: from as u64, len: len as u64, off })
}

/// Where the fragments at these places, ascending, contradict each other: an offset in what they decode to, and a
/// length.
fn contradiction(
    set: &Set,
    code: Code,
    members: &[usize],
    pieces: &[&[u8]],
    places: &[usize],
) -> Option<(usize, usize)> {
    let needed = code.data();
    let (head, rest) = places.split_at_checked(needed)?;
    let decode = |places: &[usize]| {
        let chosen: Vec<usize> = places.iter().filter_map(|&at| members.get(at).copied()).collect();
        let parts: Vec<&[u8]> = places.iter().filter_map(|&at| pieces.get(at).copied()).collect();
        let decoder: Arc<Decoder> = set.decoder(&chosen)?;
        let mut bytes = vec![0; parts.first()?.len() * needed];
        decoder.decode(&parts, &mut bytes);
        Some(bytes)
    };
    let reference = decode(head)?;
    let others = rest.iter().map(|&spare| {
        let mut places = head.get(..needed - 1).unwrap_or_default().to_vec();
        places.push(spare);
        decode(&places)
    });
    let others: Vec<Vec<u8>> = others.collect::<Option<_>>()?;
    let all: Vec<&[u8]> = std::iter::once(&reference).chain(&others).map(Vec::as_slice).collect();
    first_run(&all)
}
