//! Which copy is believed where the caller's rules have to decide.

use uuid::Uuid;

use super::{Change, Copy, Set, Sources};
use crate::ShardError;
use crate::finding::Finding;
use crate::split_brain::{SplitBrain, SplitBrainCopy, SplitBrainOf};

impl Set {
    /// Whether rules may have to decide by times, so that these are to be looked at.
    pub(super) const fn wants_times(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The sources as AFR's rules have them; where these leave none, the copy that the caller's rules decide for.
    pub(super) fn decided(
        &self,
        sources: Result<Vec<usize>, ShardError>,
        change: Change,
        copies: &[Copy],
    ) -> Result<Sources, ShardError> {
        let (what, why, matrix) = match sources {
            Ok(members) => return Ok(Sources { members, chosen: None }),
            Err(ShardError::SplitBrain { what, why, matrix, .. }) => (what, why, matrix),
            Err(error) => return Err(error),
        };
        let about = if change == Change::Data { SplitBrainOf::Data } else { SplitBrainOf::Metadata };
        let usable: Vec<&Copy> =
            copies.iter().filter(|copy| change != Change::Data || !self.is_arbiter(copy.member)).collect();
        let found: Vec<SplitBrainCopy> = usable.iter().map(|copy| self.in_words(copy)).collect();
        let case = SplitBrain { what: &what, about, matrix: Some(&matrix), copies: &found };
        if let Some((at, by)) = case.decide(&self.rules)
            && let Some(copy) = usable.get(at)
        {
            let others = found.iter().enumerate().filter(|(i, _)| *i != at);
            let chosen = self.chosen(&what, about, copy.member, others.map(|(_, copy)| copy), by);
            return Ok(Sources { members: vec![copy.member], chosen: Some(chosen) });
        }
        let undecided = self.rules.iter().map(ToString::to_string).collect();
        Err(ShardError::SplitBrain { what, why, matrix, undecided })
    }

    /// Which of several gfids under one name the caller's rules decide for, among copies whose word counts.
    pub(super) fn decided_gfid(
        &self,
        copies: &[&Copy],
        what: &dyn Fn() -> String,
    ) -> Option<(Uuid, Finding)> {
        let found: Vec<SplitBrainCopy> = copies.iter().map(|copy| self.in_words(copy)).collect();
        let what = what();
        let case = SplitBrain { what: &what, about: SplitBrainOf::Gfid, matrix: None, copies: &found };
        let (at, by) = case.decide(&self.rules)?;
        let copy = copies.get(at)?;
        let others = found.iter().filter(|other| other.gfid != copy.gfid);
        Some((copy.gfid, self.chosen(&what, case.about, copy.member, others, by)))
    }

    fn in_words(&self, copy: &Copy) -> SplitBrainCopy {
        SplitBrainCopy {
            brick: self.brick(copy.member),
            gfid: copy.gfid,
            len: copy.open.len,
            mtime: copy.mtime.unwrap_or(copy.open.mtime),
            file_size: copy.file_size.map(|size| size.size),
        }
    }

    fn chosen<'a>(
        &self,
        what: &str,
        about: SplitBrainOf,
        member: usize,
        others: impl Iterator<Item = &'a SplitBrainCopy>,
        by: String,
    ) -> Finding {
        Finding::SplitBrainChosen {
            what: what.to_owned(),
            about,
            brick: self.brick(member).to_string(),
            instead_of: others.map(|copy| copy.brick.to_string()).collect(),
            by,
        }
    }
}
