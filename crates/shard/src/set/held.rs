//! What a subvolume holds under a name, given what each of its bricks has.

use uuid::Uuid;

use super::{Change, Copy, DirState, Seen, Set, SetDir};
use crate::ShardError;
use crate::finding::Finding;

/// What a subvolume holds under a name.
#[derive(Debug)]
pub(crate) enum Held {
    /// Nothing, and a brick that is good said so.
    Nothing,
    /// A link file: the name of the subvolume that has the data.
    Linkto(String),
    /// A file.
    Data(Copies),
    /// Not known: why.
    Unknown(String),
}

/// The copies of one file on the bricks of a set, all of one gfid. At least one.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) gfid: Uuid,
    pub(crate) copies: Vec<Copy>,
    /// In a dispersed set: why a brick that is here has no fragment of it, in words that go on from the brick's name.
    pub(crate) without: Vec<(usize, String)>,
    /// What a rule of the caller's decided of them.
    pub(crate) chosen: Vec<Finding>,
}

/// The bricks whose copies are believed.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) members: Vec<usize>,
    /// What a rule of the caller's decided, where it had to.
    pub(crate) chosen: Option<Finding>,
}

impl Set {
    /// What the set holds, given the directory that the name is in and what each brick has.
    pub(crate) fn judge(
        &self,
        dir: &SetDir,
        seen: Vec<Seen>,
        what: &dyn Fn() -> String,
    ) -> Result<Held, ShardError> {
        match &dir.state {
            DirState::Present => {}
            DirState::Absent => return Ok(Held::Nothing),
            DirState::Unknown(why) => return Ok(Held::Unknown(why.clone())),
        }
        if let Some(code) = self.code {
            return self.judge_fragments(code, dir, seen, what);
        }
        let (mut copies, mut bad) = (Vec::new(), Vec::new());
        let mut all_looked_at = true;
        for (i, seen) in seen.into_iter().enumerate() {
            match seen {
                Seen::NotLooked => all_looked_at = false,
                Seen::Absent => {}
                Seen::Copy(copy) => copies.push(*copy),
                Seen::Bad(why) => bad.push((i, why)),
            }
        }
        let counts = |i: usize| dir.witnesses.is_empty() || dir.witnesses.contains(&i);
        let mut good = copies.iter().filter(|copy| counts(copy.member));
        let Some(first) = good.next() else {
            if let Some((i, why)) = bad.into_iter().find(|(i, _)| counts(*i)) {
                return Ok(Held::Unknown(format!("what is on brick {} {why}", self.brick(i))));
            }
            if dir.witnesses.is_empty() && !all_looked_at {
                return Ok(Held::Unknown(
                    "no brick that is here is good for the names in its directory".to_owned(),
                ));
            }
            return Ok(Held::Nothing);
        };
        let (mut gfid, mut chosen) = (first.gfid, Vec::new());
        if let Some(second) = good.find(|copy| copy.gfid != first.gfid) {
            let candidates: Vec<&Copy> = copies.iter().filter(|copy| counts(copy.member)).collect();
            let Some((decided, finding)) = self.decided_gfid(&candidates, what) else {
                return Err(ShardError::GfidMismatch {
                    what: what(),
                    copies: Box::new([
                        (self.brick(first.member), first.gfid),
                        (self.brick(second.member), second.gfid),
                    ]),
                });
            };
            gfid = decided;
            chosen.push(finding);
        }
        // A brick that missed the deletion of another file of the same name still has that one.
        copies.retain(|copy| copy.gfid == gfid);
        self.link_or_data(Copies { gfid, copies, without: Vec::new(), chosen }, what)
    }

    pub(super) fn link_or_data(
        &self,
        mut copies: Copies,
        what: &dyn Fn() -> String,
    ) -> Result<Held, ShardError> {
        let links = copies.copies.iter().filter(|copy| copy.linkto.is_some()).count();
        if links == 0 {
            return Ok(Held::Data(copies));
        }
        let mut members: Vec<usize> = copies.copies.iter().map(|copy| copy.member).collect();
        if links < members.len() {
            let sources = self.metadata_sources(&copies, what)?;
            members = sources.members;
            copies.chosen.extend(sources.chosen);
        }
        let good = copies.copies.iter().filter(|copy| members.contains(&copy.member));
        let mut targets: Vec<_> = good.map(|copy| copy.linkto.as_deref()).collect();
        targets.sort_unstable();
        targets.dedup();
        match targets.as_slice() {
            [Some(target)] => Ok(Held::Linkto((*target).to_owned())),
            [None] => Ok(Held::Data(copies)),
            _ => Err(ShardError::Inconsistent {
                subvolume: self.subvolume.name.clone(),
                problem: format!(
                    "its bricks disagree on whether {} is a link file, or on its target",
                    what()
                ),
            }),
        }
    }

    /// The bricks whose copies have the latest xattrs.
    pub(crate) fn metadata_sources(
        &self,
        copies: &Copies,
        what: &dyn Fn() -> String,
    ) -> Result<Sources, ShardError> {
        let blames = copies.copies.iter().map(|copy| (copy.member, &copy.blame));
        self.decided(self.sources(what, Change::Metadata, blames), Change::Metadata, &copies.copies)
    }

    /// The bricks whose copies have the latest content, the one to read from first.
    ///
    /// Among good copies AFR takes the largest, then the one that witnessed most, then the newest.
    pub(crate) fn data_sources(
        &self,
        copies: &Copies,
        what: &dyn Fn() -> String,
    ) -> Result<Sources, ShardError> {
        let blames = copies.copies.iter().map(|copy| (copy.member, &copy.blame));
        let sources = self.sources(what, Change::Data, blames);
        let Sources { members, chosen } = self.decided(sources, Change::Data, &copies.copies)?;
        let mut ranked: Vec<&Copy> =
            copies.copies.iter().filter(|copy| members.contains(&copy.member)).collect();
        ranked.sort_by_key(|copy| {
            let rank = (copy.open.len, copy.blame.witnessed(Change::Data), copy.open.mtime);
            (std::cmp::Reverse(rank), copy.member)
        });
        Ok(Sources { members: ranked.into_iter().map(|copy| copy.member).collect(), chosen })
    }
}
