//! Symbolic links: where they lead to, their gfids and handles, compared between bricks.

use std::path::Path;

use super::copies::Examined;
use super::finding::at;
use super::index::bricks;
use super::report::Report;
use super::{Auditor, Problem};
use crate::set::{Set, SetDir};
use crate::topology::BrickName;
use crate::tree::{Handle, Kind, Symlink};
use crate::volume::Place;

/// What the bricks of a volume have of one symbolic link.
#[derive(Default)]
struct Links {
    found: Vec<(BrickName, Symlink)>,
    /// The names of the subvolumes that have it.
    subvolumes: Vec<String>,
    out: Examined,
}

impl Auditor<'_> {
    /// Compares the symbolic link at a path.
    pub(super) fn symlink(&self, place: &Place, path: &Path, report: &mut Report<'_>) {
        report.progress.entries += 1;
        let mut links = Links::default();
        for (s, (set, dir)) in self.inner.sets.iter().zip(&place.dirs).enumerate() {
            self.symlink_on(s, set, dir, place, &mut links);
        }
        let Links { found, subvolumes, mut out } = links;
        let gfids: Vec<_> =
            found.iter().filter_map(|(brick, link)| Some((brick.clone(), link.gfid?))).collect();
        let gfid = gfids.first().map(|(_, gfid)| *gfid);
        if gfids.iter().any(|(_, other)| Some(*other) != gfid) {
            out.add(Problem::GfidMismatch { copies: gfids });
        }
        if found.iter().any(|(_, link)| found.first().is_some_and(|(_, first)| first.target != link.target)) {
            let text = |link: &Symlink| String::from_utf8_lossy(&link.target).into_owned();
            let targets = found.iter().map(|(brick, link)| (brick.clone(), text(link)));
            out.add(Problem::TargetsDiffer { targets: targets.collect() });
        }
        if let [first, _, ..] = &subvolumes[..] {
            let used = first.clone();
            out.add(Problem::Duplicate { subvolumes, used });
        }
        out.not_seen.into_iter().for_each(|what| report.not_seen(what));
        for problem in out.problems {
            report.found(at(path, gfid), problem);
        }
        report.progress();
    }

    /// Adds what one set has of it.
    fn symlink_on(&self, s: usize, set: &Set, dir: &SetDir, place: &Place, links: &mut Links) {
        let out = &mut links.out;
        let (mut have, mut absent) = (Vec::new(), Vec::new());
        for (i, member) in dir.members.iter().enumerate() {
            let (Some(tree), Some(member)) = (set.tree(i), member) else { continue };
            match tree.symlink(member, &place.name) {
                Ok(Some(link)) => have.push((i, link)),
                Ok(None) if tree.kind(member, &place.name) == Kind::Nothing => absent.push(i),
                // Something else, which was told as such.
                Ok(None) => {}
                Err(error) => out.not_seen.push(error.to_string()),
            }
        }
        let numbers: Vec<usize> = have.iter().map(|(i, _)| *i).collect();
        let counts = |i: &usize| dir.witnesses.is_empty() || dir.witnesses.contains(i);
        if numbers.is_empty() {
            return;
        }
        if !numbers.iter().any(counts) {
            return out.add(Problem::StaleName { bricks: bricks(set, &numbers) });
        }
        if !absent.is_empty() {
            out.add(Problem::CopyMissing { bricks: bricks(set, &absent) });
        }
        let (mut missing, mut other) = (Vec::new(), Vec::new());
        for (i, link) in &have {
            let root = self.roots.get(s).and_then(|roots| roots.get(*i)?.as_ref());
            let (Some(tree), Some(root), Some(gfid)) = (set.tree(*i), root, link.gfid) else { continue };
            match tree.handle(root, gfid) {
                Ok(Handle::Nothing) => missing.push(*i),
                Ok(Handle::Symlink { identity, .. }) if identity == link.identity => {}
                Ok(_) => other.push(*i),
                Err(error) => out.not_seen.push(error.to_string()),
            }
        }
        if !missing.is_empty() {
            out.add(Problem::HandleMissing { bricks: bricks(set, &missing) });
        }
        if !other.is_empty() {
            out.add(Problem::HandleOther { bricks: bricks(set, &other) });
        }
        links.subvolumes.push(set.subvolume.name.clone());
        // A brick that missed a deletion may still have another link of the same name.
        let current = have.into_iter().filter(|(i, _)| counts(i));
        links.found.extend(current.map(|(i, link)| (set.brick(i), link)));
    }
}
