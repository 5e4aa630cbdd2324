//! The closing table of a run of steps.

use std::path::Path;
use std::time::Duration;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// It could not be done here; the text says why.
    NotRun(String),
    Failed(String),
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) step: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    /// Lines that a step wants to see again at the end.
    pub(crate) notes: Vec<String>,
}

/// Prints the table, then the notes, then one line that counts.
pub(crate) fn print(rows: &[Row], whole: Duration) {
    println!("\n{:<16} {:<8} {:>8}", "step", "result", "seconds");
    for row in rows {
        let (word, why) = match &row.outcome {
            Outcome::Passed => ("passed", ""),
            Outcome::NotRun(why) => ("NOT RUN", why.as_str()),
            Outcome::Failed(why) => ("FAILED", why.as_str()),
        };
        println!("{:<16} {word:<8} {:>8.1}  {why}", row.step, row.took.as_secs_f64());
    }
    println!("{:<16} {:<8} {:>8.1}", "", "", whole.as_secs_f64());
    for row in rows {
        for note in &row.notes {
            println!("{}: {note}", row.step);
        }
    }
    let count = |is: fn(&Outcome) -> bool| rows.iter().filter(|row| is(&row.outcome)).count();
    println!(
        "steps: {} passed, {} failed, {} skipped",
        count(|outcome| *outcome == Outcome::Passed),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
        count(|outcome| matches!(outcome, Outcome::NotRun(_))),
    );
}

/// What a log says; nothing when it can't be read. Programs put bytes into logs that are no text.
pub(crate) fn text(log: &Path) -> String {
    std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The last lines of a log, for a failure that scrolled away.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = text(log);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines_even_when_it_is_no_text() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log");
        std::fs::write(&log, b"one\n\xfftwo\nthree\n").expect("written");
        assert_eq!(tail(&log, 2), "\u{fffd}two\nthree");
        assert_eq!(tail(&log, 9), "one\n\u{fffd}two\nthree");
        assert_eq!(tail(&dir.path().join("absent"), 9), "");
    }
}
