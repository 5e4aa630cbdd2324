//! How long each target has run in all: a table in the book.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::corpus;
use crate::shell::lane_prefix;
use crate::workspace::Workspace;

/// What runs of one target come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Seconds of a processor.
    pub(super) seconds: u64,
    /// Inputs that were tried.
    pub(super) inputs: u64,
}

/// Reads them out of what the last run of `target` said: libFuzzer's count, and the shell's time of its children.
pub(super) fn of(log: &str, target: &str) -> Result<Done> {
    let prefix = lane_prefix(target);
    let said = || log.lines().filter_map(|line| line.strip_prefix(&prefix));
    let inputs = said()
        .filter_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .next_back()
        .and_then(|number| number.trim().parse().ok());
    let seconds = said().filter_map(seconds).next_back();
    inputs
        .zip(seconds)
        .map(|(inputs, seconds)| Done { seconds, inputs })
        .with_context(|| format!("{target} ended without its figures"))
}

/// `1m2.5s 0m0.25s`, user's and system's, as the shell's `times` prints them; rounded down.
fn seconds(line: &str) -> Option<u64> {
    let (user, system) = line.split_once(' ')?;
    let millis = |time: &str| -> Option<u64> {
        let (minutes, seconds) = time.strip_suffix('s')?.split_once('m')?;
        let (whole, fraction) = seconds.split_once('.')?;
        let fraction: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        let (minutes, whole): (u64, u64) = (minutes.parse().ok()?, whole.parse().ok()?);
        Some((minutes * 60 + whole) * 1000 + fraction)
    };
    Some((millis(user)? + millis(system)?) / 1000)
}

const HEAD: &str = "# Fuzzing\n\nWritten by `cargo xtask fuzz --keep`: what all runs of each target come to, each without a finding in the end. \
                    What they found worth trying again is in `fuzz/corpora`; findings became tests.\n\n\
                    | target | processor time | inputs tried | inputs kept | last commit |\n| --- | --- | --- | --- | --- |\n";

static PAGE: Mutex<()> = Mutex::new(());

/// Adds `done` to the row of `target`.
pub(super) fn add(workspace: &Workspace, target: &str, done: Done) -> Result<()> {
    let _one_at_a_time = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let file = workspace.root().join(super::TOTALS);
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    let dir = corpus::dir(workspace, target);
    let kept = std::fs::read_dir(&dir).with_context(|| format!("can't list {}", dir.display()))?.count();
    let commit = workspace.commit()?;
    let page = with_row(&before, target, done, kept, commit.get(..12).unwrap_or(&commit));
    std::fs::write(&file, page).with_context(|| format!("can't write {}", file.display()))
}

fn with_row(page: &str, target: &str, done: Done, kept: usize, commit: &str) -> String {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    let mut sum = done;
    for row in page.lines() {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, time, inputs, _, _] = cells[..] else { continue };
        let (Some(seconds), Ok(inputs)) = (from_text(time), inputs.parse::<u64>()) else { continue };
        if name == target {
            sum = Done { seconds: sum.seconds + seconds, inputs: sum.inputs + inputs };
        } else {
            rows.insert(name.to_owned(), row.to_owned());
        }
    }
    let (minutes, seconds) = (sum.seconds / 60, sum.seconds % 60);
    let row = format!("| {target} | {minutes} min {seconds:02} s | {} | {kept} | {commit} |", sum.inputs);
    rows.insert(target.to_owned(), row);
    let mut page = HEAD.to_owned();
    for row in rows.values() {
        let _ = writeln!(page, "{row}");
    }
    page
}

fn from_text(time: &str) -> Option<u64> {
    let (minutes, seconds) = time.strip_suffix(" s")?.split_once(" min ")?;
    Some(minutes.parse::<u64>().ok()? * 60 + seconds.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_targets_own_last_lines() {
        let lane = |target: &str, line: &str| format!("{}{line}\n", lane_prefix(target));
        let mut log = lane("a", "stat::number_of_executed_units: 7") + &lane("a", "0m1.000000s 0m0.000000s");
        log += &lane("other", "stat::number_of_executed_units: 9");
        log += &lane("a", "stat::number_of_executed_units: 123");
        assert!(of(&log, "other").is_err(), "no time was told");
        log += &(lane("a", "0m0.000000s 0m0.010000s")
            + &lane("a", "2m3.75s 0m1.500000s")
            + &lane("other", "9m0.0s 9m0.0s"));
        assert_eq!(of(&log, "a").unwrap(), Done { seconds: 125, inputs: 123 });
    }

    #[test]
    fn runs_add_up_in_the_row_of_their_target() {
        let page = with_row("", "b", Done { seconds: 59, inputs: 5 }, 2, "c0ffee");
        let page = with_row(&page, "a", Done { seconds: 1, inputs: 1 }, 1, "c0ffee");
        let page = with_row(&page, "b", Done { seconds: 62, inputs: 10 }, 3, "decade");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
        assert_eq!(rows, ["| a | 0 min 01 s | 1 | 1 | c0ffee |", "| b | 2 min 01 s | 15 | 3 | decade |"]);
    }
}
