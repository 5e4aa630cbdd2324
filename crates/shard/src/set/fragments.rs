//! Which fragments of a dispersed file belong together: a state of a file, its size or a directory counts where as
//! many bricks agree about it as are needed to decode (ec-heal.c, `ec_heal_data_find_direction`).
//!
//! Each change counts up `trusted.ec.version` on the bricks that have it, and succeeds only on as many bricks as are
//! needed. These are more than half, so that two states can't both have enough, and what has enough is the latest.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use super::{Blame, Change, Copies, Copy, DirState, Held, Seen, Set, SetDir};
use crate::ShardError;
use crate::disperse::{Code, Decoder, FragmentRow, FragmentState, FragmentTable};
use crate::raw::xattr::{self, EcCounters};
use crate::tree::Xattrs;

/// No more decoders than this are kept for a set, of up to 16 KiB each.
const DECODERS: usize = 64;

/// The fragments that a file can be read from.
#[derive(Debug)]
pub(crate) struct Readable {
    /// Bytes of the file.
    pub(crate) size: u64,
    /// The numbers of the bricks whose fragments are of the latest state, ascending; as many as are needed, or more.
    pub(crate) members: Vec<usize>,
    /// Whether a change was begun that not all of these are known to have. Their fragments may then contradict each
    /// other.
    pub(crate) unfinished: bool,
}

/// How often a file or directory was changed, and what was begun. Without the xattrs: never, nothing.
pub(super) fn counters(fd: impl AsFd, xattrs: &Xattrs<'_>) -> Result<(EcCounters, EcCounters), String> {
    let get = |name: &str| match xattrs.get(&fd, name) {
        Ok(None) => Ok(EcCounters::default()),
        Ok(Some(value)) => {
            xattr::ec_counters(&value).ok_or_else(|| format!("has an xattr {name} that is not of 16 bytes"))
        }
        Err(error) => Err(format!("has an xattr {name} that can't be read: {error}")),
    };
    Ok((get(xattr::EC_VERSION)?, get(xattr::EC_DIRTY)?))
}

/// The size of the file that a fragment is of. The error goes on from the brick's name.
pub(super) fn coded_size(code: Code, fd: impl AsFd, xattrs: &Xattrs<'_>) -> Result<u64, String> {
    let get = |name: &str| {
        let value =
            xattrs.get(&fd, name).map_err(|error| format!("has an xattr {name} that can't be read: {error}"));
        value.and_then(|value| value.ok_or_else(|| format!("has no {name}")))
    };
    let bad = |name: &str| format!("has an xattr {name} that is not as it should be");
    let config = xattr::ec_config(&get(xattr::EC_CONFIG)?).ok_or_else(|| bad(xattr::EC_CONFIG))?;
    if (config.version, config.algorithm, config.gf_word_size) != (0, 0, 8) || config.chunk_size != 512 {
        return Err(format!("is coded in a way that is not known: {config:?}"));
    }
    if (usize::from(config.bricks), usize::from(config.redundancy)) != (code.bricks(), code.redundancy()) {
        return Err(format!(
            "is coded for {} bricks with {} of redundancy, but the set has {} with {}",
            config.bricks,
            config.redundancy,
            code.bricks(),
            code.redundancy()
        ));
    }
    let size = xattr::ec_size(&get(xattr::EC_SIZE)?);
    size.filter(|size| i64::try_from(*size).is_ok()).ok_or_else(|| bad(xattr::EC_SIZE))
}

impl Change {
    pub(super) const fn counted(self, counters: EcCounters) -> u64 {
        match self {
            Self::Data | Self::Entry => counters.data,
            Self::Metadata => counters.metadata,
        }
    }
}

/// The largest group of those with equal keys.
pub(super) fn largest_group<K: Ord>(keys: impl IntoIterator<Item = (usize, K)>) -> Vec<usize> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (member, key) in keys {
        groups.entry(key).or_default().push(member);
    }
    groups.into_values().max_by_key(Vec::len).unwrap_or_default()
}

impl Set {
    /// The bricks, as many as are needed or more, that saw the same changes.
    pub(super) fn agreeing<'a>(
        &self,
        code: Code,
        what: &dyn Fn() -> String,
        change: Change,
        copies: impl IntoIterator<Item = (usize, &'a Blame)>,
    ) -> Result<Vec<usize>, ShardError> {
        let copies: Vec<(usize, &Blame)> = copies.into_iter().collect();
        let agree = largest_group(copies.iter().map(|(i, blame)| (*i, change.counted(blame.version))));
        if agree.len() >= code.data() {
            return Ok(agree);
        }
        let here = copies.into_iter().map(|(i, blame)| (i, state(blame, change, None)));
        Err(self.too_few(code, what, agree.len(), here, &[]))
    }

    /// The fragments of one state that are enough to read a file from.
    pub(crate) fn readable(
        &self,
        code: Code,
        copies: &Copies,
        what: &dyn Fn() -> String,
    ) -> Result<Readable, ShardError> {
        let sound = |copy: &&Copy| {
            let (len, due) = (copy.open.len, code.fragment_len(copy.coded_size));
            // A write that was not finished has made fragments longer, and the size doesn't tell it yet.
            len == due || (len > due && copy.blame.unfinished.data > 0)
        };
        let key = |copy: &Copy| (copy.blame.version.data, copy.coded_size);
        let members = largest_group(copies.copies.iter().filter(sound).map(|copy| (copy.member, key(copy))));
        let of_group = |copy: &&Copy| members.contains(&copy.member);
        match copies.copies.iter().find(of_group) {
            Some(first) if members.len() >= code.data() => Ok(Readable {
                size: first.coded_size,
                unfinished: copies.copies.iter().filter(of_group).any(|copy| copy.blame.unfinished.data > 0),
                members,
            }),
            _ => {
                let here = copies.copies.iter().map(|copy| {
                    (copy.member, state(&copy.blame, Change::Data, Some((copy.coded_size, copy.open.len))))
                });
                Err(self.too_few(code, what, members.len(), here, &copies.without))
            }
        }
    }

    /// The error that shows what each brick has.
    fn too_few(
        &self,
        code: Code,
        what: &dyn Fn() -> String,
        agreeing: usize,
        here: impl IntoIterator<Item = (usize, FragmentState)>,
        without: &[(usize, String)],
    ) -> ShardError {
        let mut rows: Vec<FragmentRow> = (0..self.trees.len())
            .map(|i| FragmentRow { brick: self.brick(i), state: FragmentState::Unusable(self.why_not(i)) })
            .collect();
        let without = without.iter().map(|(i, why)| (*i, FragmentState::Unusable(why.clone())));
        for (i, state) in without.chain(here) {
            if let Some(row) = rows.get_mut(i) {
                row.state = state;
            }
        }
        ShardError::TooFewFragments {
            what: what(),
            needed: code.data(),
            agreeing,
            table: FragmentTable { rows },
            missing: self.missing().collect(),
        }
    }

    fn why_not(&self, i: usize) -> String {
        match self.trees.get(i) {
            Some(Err(why)) => format!("is missing: {why}"),
            _ => "has none".to_owned(),
        }
    }

    /// What a dispersed set holds: a file where enough bricks have it, nothing where so many good bricks lack it that
    /// there can't be enough.
    pub(super) fn judge_fragments(
        &self,
        code: Code,
        dir: &SetDir,
        seen: Vec<Seen>,
        what: &dyn Fn() -> String,
    ) -> Result<Held, ShardError> {
        let (mut copies, mut without, mut lack) = (Vec::new(), Vec::new(), Vec::new());
        for (i, seen) in seen.into_iter().enumerate() {
            match seen {
                Seen::NotLooked => {}
                Seen::Absent => {
                    lack.push(i);
                    without.push((i, "has none".to_owned()));
                }
                Seen::Copy(copy) => copies.push(*copy),
                Seen::Bad(why) => without.push((i, why)),
            }
        }
        let group = largest_group(copies.iter().map(|copy| (copy.member, copy.gfid)));
        if group.len() >= code.data() {
            let mut gfid = Uuid::nil();
            copies.retain(|copy| {
                let counts = group.contains(&copy.member);
                if counts {
                    gfid = copy.gfid;
                } else {
                    without.push((copy.member, format!("has another file of that name, gfid {}", copy.gfid)));
                }
                counts
            });
            return self.link_or_data(Copies { gfid, copies, without, chosen: Vec::new() }, what);
        }
        if self.is_absent(code, dir, &lack) {
            return Ok(Held::Nothing);
        }
        let mut why = format!("of the {} fragments needed {} are here", code.data(), group.len());
        for (i, reason) in without {
            why.push_str(&format!(", brick {} {reason}", self.brick(i)));
        }
        for copy in copies.iter().filter(|copy| !group.contains(&copy.member)) {
            let (brick, gfid) = (self.brick(copy.member), copy.gfid);
            why.push_str(&format!(", brick {brick} has another file of that name, gfid {gfid}"));
        }
        Ok(Held::Unknown(why))
    }

    /// Whether it is proven that there is no name in `dir`, given the bricks that lack it: as many good ones as are
    /// needed, or simply all.
    fn is_absent(&self, code: Code, dir: &SetDir, lack: &[usize]) -> bool {
        let good = lack.iter().filter(|i| dir.witnesses.contains(i)).count();
        good >= code.data() || lack.len() == code.bricks()
    }

    /// What to say of a directory in a dispersed set that too few bricks have, given which have it; `None` where there
    /// are enough, or the set is not dispersed.
    pub(super) fn too_few_have_directory(
        &self,
        parent: &SetDir,
        have: impl IntoIterator<Item = bool>,
    ) -> Option<DirState> {
        let code = self.code?;
        let (have, others): (Vec<_>, Vec<_>) = have.into_iter().enumerate().partition(|(_, has)| *has);
        if have.len() >= code.data() {
            return None;
        }
        let looked_at =
            |i: &usize| self.tree(*i).is_some() && parent.members.get(*i).is_some_and(Option::is_some);
        let lack: Vec<usize> = others.into_iter().map(|(i, _)| i).filter(looked_at).collect();
        if self.is_absent(code, parent, &lack) {
            return Some(DirState::Absent);
        }
        let (have, needed) = (have.len(), code.data());
        Some(DirState::Unknown(format!(
            "of the {needed} bricks needed {have} are here and have its directory"
        )))
    }

    /// What decodes the fragments of these bricks, made once for each choice. They have to be ascending.
    pub(crate) fn decoder(&self, members: &[usize]) -> Option<Arc<Decoder>> {
        let mut key = 0_u32;
        for &member in members {
            key |= 1_u32.checked_shl(u32::try_from(member).ok()?)?;
        }
        let mut decoders = self.decoders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoder) = decoders.get(&key) {
            return Some(Arc::clone(decoder));
        }
        let decoder = Arc::new(self.code?.decoder(members)?);
        if decoders.len() >= DECODERS {
            decoders.clear();
        }
        decoders.insert(key, Arc::clone(&decoder));
        Some(decoder)
    }
}

fn state(blame: &Blame, change: Change, sizes: Option<(u64, u64)>) -> FragmentState {
    let dirty = change.counted(blame.unfinished) > 0;
    FragmentState::Here { version: change.counted(blame.version), dirty, sizes }
}
