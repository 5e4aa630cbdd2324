//! What the whole volume holds under a name: DHT's rules over what each subvolume holds.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Inner;
use crate::ShardError;
use crate::finding::Finding;
use crate::set::{Copies, Held, Seen, SetDir};
use crate::topology::Origin;

/// Where a name is looked for.
#[derive(Debug)]
pub(crate) struct Place {
    /// The directory on each set.
    pub(crate) dirs: Vec<SetDir>,
    pub(crate) name: PathBuf,
    /// Whether DHT places the name by its hash.
    pub(crate) hashed: bool,
    /// Whether no subvolume is left out.
    pub(crate) all_sets_known: bool,
}

/// What the volume holds under a name.
#[derive(Debug)]
pub(crate) enum Resolved {
    /// Nothing, which is proven.
    Nothing,
    /// A file, on the set of that number.
    File { set: usize, copies: Copies, findings: Vec<Finding> },
}

impl Inner {
    /// Looks for a name on every brick that is here; twice where there is nothing. A file that was moved while they were
    /// looked at may have been on none of them when it was their turn. A base whose size is nonsense counts as one that
    /// can't be used.
    pub(crate) fn look_everywhere(
        &self,
        place: &Place,
        base: bool,
        what: &dyn Fn() -> String,
    ) -> Result<Resolved, ShardError> {
        self.look_with(place, base, false, what)
    }

    /// The same; where the caller tells the size, what a base tells need not make sense.
    pub(crate) fn look_with(
        &self,
        place: &Place,
        base: bool,
        is_told: bool,
        what: &dyn Fn() -> String,
    ) -> Result<Resolved, ShardError> {
        match self.look_once(place, base, is_told, what) {
            Ok(Resolved::Nothing) | Err(ShardError::DanglingLinkto { .. }) => {
                self.look_once(place, base, is_told, what)
            }
            looked => looked,
        }
    }

    fn look_once(
        &self,
        place: &Place,
        base: bool,
        is_told: bool,
        what: &dyn Fn() -> String,
    ) -> Result<Resolved, ShardError> {
        let mut held = Vec::with_capacity(self.sets.len());
        for (set, dir) in self.sets.iter().zip(&place.dirs) {
            let mut seen = Vec::with_capacity(set.trees.len());
            for (i, member) in dir.members.iter().enumerate() {
                seen.push(match (set.tree(i), member) {
                    (None, _) => Seen::NotLooked,
                    (Some(_), None) => Seen::Absent,
                    (Some(_), Some(member)) => match set.look(i, member, &place.name, base)? {
                        Seen::Copy(copy) if !is_told && copy.bad_base.is_some() => {
                            Seen::Bad(copy.bad_base.unwrap_or_default().to_owned())
                        }
                        seen => seen,
                    },
                });
            }
            held.push(set.judge(dir, seen, what)?);
        }
        let hash = if place.hashed { self.hash(place.name.as_os_str().as_bytes()) } else { None };
        self.resolve(&place.dirs, hash, held, place.all_sets_known, what)
    }

    /// Decides among the subvolumes, given what each holds.
    ///
    /// The file is where data is found. Where that is nowhere, it is absent only if that is proven: every
    /// subvolume says so by a good brick, and no link file claims otherwise. The hashed subvolume alone is not
    /// enough: after a layout was changed and before everything was migrated, files lie elsewhere and no link
    /// file tells.
    pub(crate) fn resolve(
        &self,
        dirs: &[SetDir],
        hash: Option<u32>,
        held: Vec<Held>,
        all_sets_known: bool,
        what: &dyn Fn() -> String,
    ) -> Result<Resolved, ShardError> {
        let hashed = hash.and_then(|hash| {
            dirs.iter().position(|dir| dir.layout.is_some_and(|layout| layout.contains(hash)))
        });
        let (mut data, mut links, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for (s, held) in held.into_iter().enumerate() {
            match held {
                Held::Nothing => {}
                Held::Data(copies) => data.push((s, copies)),
                Held::Linkto(target) => links.push((s, target)),
                Held::Unknown(why) => unknown.push((s, why)),
            }
        }
        let name = |s: usize| self.sets.get(s).map_or("?", |set| set.subvolume.name.as_str());
        let linked =
            |s: usize| links.iter().any(|(_, target)| self.topology.subvolume_named(target) == Some(s));
        let at = match data.len() {
            0 => return self.nowhere(&links, unknown, all_sets_known, what),
            1 => 0,
            _ => {
                let by_hash = data.iter().position(|(s, _)| Some(*s) == hashed);
                let by_link = || data.iter().position(|(s, _)| linked(*s));
                match by_hash.or_else(by_link) {
                    Some(at) => at,
                    // The subvolume that would decide is not here.
                    None if hashed.is_none() || !unknown.is_empty() || !all_sets_known => {
                        let names: Vec<_> = data.iter().map(|(s, _)| name(*s)).collect();
                        return Err(ShardError::Unknown {
                            what: what(),
                            why: format!(
                                "{} each hold one, and it can't be told which counts",
                                names.join(" and ")
                            ),
                            missing: self.missing(),
                        });
                    }
                    None => largest(&data),
                }
            }
        };
        let mut findings = Vec::new();
        if data.len() > 1 {
            findings.push(Finding::Duplicate {
                what: what(),
                subvolumes: data.iter().map(|(s, _)| name(*s).to_owned()).collect(),
                used: data.get(at).map_or("?", |(s, _)| name(*s)).to_owned(),
            });
        }
        let (set, mut copies) = data.swap_remove(at);
        findings.append(&mut copies.chosen);
        if let Some(hashed) = hashed
            && hashed != set
            && !linked(set)
            // Where the subvolumes' names are not known, a link file may well mean this one.
            && !(self.topology.origin == Origin::Bricks && links.iter().any(|(s, _)| *s == hashed))
            && unknown.iter().all(|(s, _)| *s != hashed)
        {
            let (subvolume, hashed) = (name(set).to_owned(), name(hashed).to_owned());
            findings.push(Finding::Misplaced { what: what(), subvolume, hashed });
        }
        Ok(Resolved::File { set, copies, findings })
    }

    /// No data was found: nothing there, or not known.
    fn nowhere(
        &self,
        links: &[(usize, String)],
        unknown: Vec<(usize, String)>,
        all_sets_known: bool,
        what: &dyn Fn() -> String,
    ) -> Result<Resolved, ShardError> {
        let name =
            |s: usize| self.sets.get(s).map_or_else(|| "?".to_owned(), |set| set.subvolume.name.clone());
        let mut why: Vec<String> = unknown.iter().map(|(s, why)| format!("on {}: {why}", name(*s))).collect();
        if !all_sets_known {
            why.push("the bricks given don't cover all of DHT's hashes, so there must be others".to_owned());
        }
        if let Some((s, target)) = links.first() {
            if why.is_empty() {
                return Err(ShardError::DanglingLinkto {
                    what: what(),
                    subvolume: name(*s),
                    target: target.clone(),
                });
            }
            why.insert(0, format!("{} says that it is on {target}", name(*s)));
        }
        if why.is_empty() {
            return Ok(Resolved::Nothing);
        }
        let missing = unknown
            .iter()
            .filter_map(|(s, _)| self.sets.get(*s))
            .flat_map(crate::set::Set::missing)
            .collect();
        Err(ShardError::Unknown { what: what(), why: why.join("; "), missing })
    }
}

/// Of several files where one ought to be: the largest, then the newest.
fn largest(data: &[(usize, Copies)]) -> usize {
    let rank = |copies: &Copies| copies.copies.iter().map(|copy| (copy.open.len, copy.open.mtime)).max();
    let best = data.iter().enumerate().max_by_key(|(_, (_, copies))| rank(copies));
    best.map_or(0, |(at, _)| at)
}
