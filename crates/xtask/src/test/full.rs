//! What `--full` adds: it can be stopped and gone on with, and its totals are kept in the book.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::fuzz;
use crate::workspace::Workspace;

/// Where the totals are kept.
const TOTALS: &str = "docs/totals.md";

/// Which steps passed on the commit that is checked out.
#[derive(Debug)]
pub(super) struct Passed {
    file: PathBuf,
    names: Vec<String>,
}

impl Passed {
    /// `None` where the work tree has changes: then no commit stands for what is run. What a full run itself writes is
    /// none, or it could not be gone on with.
    pub(super) fn load(workspace: &Workspace) -> Result<Option<Self>> {
        if !workspace.is_clean_but(&[TOTALS, fuzz::TOTALS, fuzz::CORPORA])? {
            return Ok(None);
        }
        let dir = workspace.target().join("xtask/full");
        std::fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
        let file = dir.join(workspace.commit()?);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Ok(Some(Self { file, names: text.lines().map(str::to_owned).collect() }))
    }

    /// Whether `step` is among them.
    pub(super) fn contains(&self, step: &str) -> bool {
        self.names.iter().any(|name| name == step)
    }

    /// Adds `step`.
    pub(super) fn add(&mut self, step: &str) -> Result<()> {
        self.names.push(step.to_owned());
        std::fs::write(&self.file, self.names.join("\n"))
            .with_context(|| format!("can't write {}", self.file.display()))
    }
}

/// Cases that a test went through, by the matrix's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) tried: u64,
    pub(super) passed: u64,
}

/// Reads `matrix NAME: tried N, passed M` out of what a step said. A name met twice is added up.
pub(super) fn matrices(log: &str) -> BTreeMap<String, Totals> {
    let mut found: BTreeMap<String, Totals> = BTreeMap::new();
    for (name, totals) in log.lines().filter_map(matrix_line) {
        let sum = found.entry(name.to_owned()).or_insert(Totals { tried: 0, passed: 0 });
        sum.tried += totals.tried;
        sum.passed += totals.passed;
    }
    found
}

fn matrix_line(line: &str) -> Option<(&str, Totals)> {
    // Of several programs that speak at once, each line begins with whose it is.
    let line = line.split_once(" | ").map_or(line, |(_, said)| said);
    let (name, counts) = line.trim().strip_prefix("matrix ")?.split_once(": tried ")?;
    let (tried, passed) = counts.split_once(", passed ")?;
    Some((name, Totals { tried: tried.parse().ok()?, passed: passed.trim().parse().ok()? }))
}

/// Writes the totals of a full run into the book.
pub(super) fn keep(workspace: &Workspace, totals: &BTreeMap<String, Totals>) -> Result<()> {
    let mut page = String::from(
        "# Totals of the long runs\n\nWritten by `cargo xtask test --full`; each row is the latest run of that matrix.\n\n\
         | matrix | cases tried | cases passed | commit |\n| --- | --- | --- | --- |\n",
    );
    let file = workspace.root().join(TOTALS);
    let commit = workspace.commit()?;
    let commit = commit.get(..12).unwrap_or(&commit);
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for row in std::fs::read_to_string(&file).unwrap_or_default().lines().filter(|row| row.starts_with("| "))
    {
        if let Some(name) =
            row.split('|').nth(1).map(str::trim).filter(|name| !["matrix", "---"].contains(name))
        {
            rows.insert(name.to_owned(), row.to_owned());
        }
    }
    for (name, Totals { tried, passed }) in totals {
        rows.insert(name.clone(), format!("| {name} | {tried} | {passed} | {commit} |"));
    }
    for row in rows.values() {
        let _ = writeln!(page, "{row}");
    }
    std::fs::write(&file, page).with_context(|| format!("can't write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix_lines_are_found_among_others_and_added_up_by_name() {
        let log = "running 2 tests\nmatrix kill: tried 14, passed 14\ntest a ... matrix no: tried 1, passed 1\n\
                   matrix kill: tried 2, passed 1\nmatrix faults: tried 7, passed 7\nmatrix bad: tried x, passed 1\n";
        let found = matrices(log);
        assert_eq!(found.len(), 2);
        assert_eq!(found["kill"], Totals { tried: 16, passed: 15 });
        assert_eq!(found["faults"], Totals { tried: 7, passed: 7 });
    }
}
