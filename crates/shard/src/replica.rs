//! Which copies of a replica set are good: AFR's rules (afr-self-heal-common.c, `afr_selfheal_find_direction`).

use std::fmt;

use crate::raw::xattr::Pending;
use crate::topology::BrickName;

/// Who blames whom in a replica set, for one kind of change (data, metadata or entry) of one file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// A row for each brick of the set, in its order.
    pub rows: Vec<Row>,
}

/// One brick of a [`Matrix`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The brick.
    pub brick: BrickName,
    /// Whether it holds names and xattrs only.
    pub arbiter: bool,
    /// Whether it was looked at and has the file or directory.
    pub present: bool,
    /// Changes that it saw and the brick of that number did not; itself included.
    pub blames: Vec<u32>,
    /// The same of every kind, of which [`blames`](Self::blames) are one.
    pub counters: Vec<Pending>,
    /// Changes begun and not known to be finished.
    pub dirty: Pending,
}

/// What AFR's rules make of a [`Matrix`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The bricks of these numbers hold the latest state. Never empty.
    Sources(Vec<usize>),
    /// No brick that was looked at has it.
    NonePresent,
    /// There are copies, and none can be believed.
    SplitBrain(&'static str),
}

impl Matrix {
    fn self_accused(&self, i: usize) -> bool {
        self.rows.get(i).and_then(|row| row.blames.get(i)).is_some_and(|&count| count > 0)
    }

    /// How many bricks blame brick `j`. Those that blame themselves have no say.
    fn accusers(&self, j: usize) -> usize {
        let has_say = |i: &usize| *i != j && !self.self_accused(*i);
        (0..self.rows.len())
            .filter(has_say)
            .filter_map(|i| self.rows.get(i))
            .filter(|row| row.present && row.blames.get(j).is_some_and(|&count| count > 0))
            .count()
    }

    fn present(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().enumerate().filter(|(_, row)| row.present).map(|(i, _)| i)
    }

    /// The bricks that hold the latest state, an arbiter among them: it keeps names and xattrs, too.
    pub(crate) fn sources(&self) -> Verdict {
        if self.present().next().is_none() {
            return Verdict::NonePresent;
        }
        let clean: Vec<usize> =
            self.present().filter(|&j| !self.self_accused(j) && self.accusers(j) == 0).collect();
        if !clean.is_empty() {
            return Verdict::Sources(clean);
        }
        // Everyone is blamed by someone. Where a majority blames some and only a minority the others, the
        // others are believed. Where each is blamed by a minority only (a circle), gluster takes any; that
        // is not evidence, so here it is split-brain.
        let quorum = self.rows.len() / 2 + 1;
        let (minority, majority): (Vec<usize>, Vec<usize>) =
            self.present().filter(|&j| !self.self_accused(j)).partition(|&j| self.accusers(j) < quorum);
        if self.rows.len() > 2 && !minority.is_empty() && !majority.is_empty() {
            return Verdict::Sources(minority);
        }
        Verdict::SplitBrain("every copy is blamed by another or by itself")
    }

    /// As [`sources`](Self::sources), without arbiters: bricks whose bytes can be read.
    pub(crate) fn data_sources(&self) -> Verdict {
        match self.sources() {
            Verdict::Sources(sources) => {
                let with_data: Vec<usize> = sources
                    .into_iter()
                    .filter(|&i| self.rows.get(i).is_some_and(|row| !row.arbiter))
                    .collect();
                if with_data.is_empty() {
                    Verdict::SplitBrain("only the arbiter's copy is good, and an arbiter holds no data")
                } else {
                    Verdict::Sources(with_data)
                }
            }
            other => other,
        }
    }
}

impl fmt::Display for Matrix {
    /// A line for each brick: whom it blames, by the number of its line, and all its counters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, row) in self.rows.iter().enumerate() {
            write!(f, "  {i} {}{}", row.brick, if row.arbiter { " (arbiter)" } else { "" })?;
            if !row.present {
                writeln!(f, ": has no copy that can be read")?;
                continue;
            }
            f.write_str(": blames")?;
            let mut anyone = false;
            for (j, &count) in row.blames.iter().enumerate().filter(|&(_, &count)| count > 0) {
                write!(f, " {j} ({count} changes)")?;
                anyone = true;
            }
            f.write_str(if anyone { "; data/metadata/entry" } else { " no one; data/metadata/entry" })?;
            for (j, counters) in row.counters.iter().enumerate() {
                write!(f, " {j}: {},", Counters(*counters))?;
            }
            writeln!(f, " dirty: {}", Counters(row.dirty))?;
        }
        Ok(())
    }
}

/// Counters as `data/metadata/entry`.
struct Counters(Pending);

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.0.data, self.0.metadata, self.0.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(blames: &[&[u32]], arbiter: Option<usize>, absent: &[usize]) -> Matrix {
        let row = |(i, blames): (usize, &&[u32])| Row {
            brick: BrickName::new("h", format!("/b{i}")),
            arbiter: arbiter == Some(i),
            present: !absent.contains(&i),
            blames: blames.to_vec(),
            counters: Vec::new(),
            dirty: Pending::default(),
        };
        Matrix { rows: blames.iter().enumerate().map(row).collect() }
    }

    fn sources(of: &[usize]) -> Verdict {
        Verdict::Sources(of.to_vec())
    }

    #[test]
    fn a_blamed_copy_is_no_source() {
        assert_eq!(matrix(&[&[0, 0], &[0, 0]], None, &[]).data_sources(), sources(&[0, 1]));
        assert_eq!(matrix(&[&[0, 3], &[0, 0]], None, &[]).data_sources(), sources(&[0]));
        assert_eq!(matrix(&[&[0, 0], &[1, 0]], None, &[]).data_sources(), sources(&[1]));
    }

    #[test]
    fn copies_that_blame_each_other_are_split_brain() {
        assert!(matches!(matrix(&[&[0, 1], &[1, 0]], None, &[]).data_sources(), Verdict::SplitBrain(_)));
        let circle = matrix(&[&[0, 1, 0], &[0, 0, 1], &[1, 0, 0]], None, &[]);
        assert!(matches!(circle.data_sources(), Verdict::SplitBrain(_)));
    }

    #[test]
    fn one_that_blames_itself_is_no_source_and_has_no_say() {
        assert_eq!(matrix(&[&[1, 1], &[0, 0]], None, &[]).data_sources(), sources(&[1]));
        assert!(matches!(matrix(&[&[1, 1]], None, &[]).data_sources(), Verdict::SplitBrain(_)));
    }

    #[test]
    fn one_that_was_not_looked_at_neither_blames_nor_is_chosen() {
        assert_eq!(matrix(&[&[0, 0], &[1, 0]], None, &[1]).data_sources(), sources(&[0]));
        assert_eq!(matrix(&[&[0, 0], &[0, 0]], None, &[0, 1]).data_sources(), Verdict::NonePresent);
        // The one with a copy is blamed by the other's counters only where those were read.
        assert!(matches!(
            matrix(&[&[0, 0, 0], &[1, 0, 0], &[0; 3]], None, &[2]).data_sources(),
            Verdict::Sources(of) if of == [1]
        ));
    }

    #[test]
    fn an_arbiter_votes_and_is_never_read() {
        assert_eq!(matrix(&[&[0; 3], &[0; 3], &[1, 0, 0]], Some(2), &[]).data_sources(), sources(&[1]));
        let only_arbiter = matrix(&[&[0; 3], &[0; 3], &[1, 1, 0]], Some(2), &[]);
        assert_eq!(only_arbiter.sources(), sources(&[2]));
        assert!(matches!(only_arbiter.data_sources(), Verdict::SplitBrain(_)));
    }

    #[test]
    fn a_majority_outvotes_the_one_that_it_blames() {
        assert_eq!(matrix(&[&[0, 1, 1], &[1, 0, 0], &[1, 0, 0]], None, &[]).data_sources(), sources(&[1, 2]));
    }
}
