//! The parts of the demo, each with how long it took.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What was done so far.
#[derive(Debug)]
pub(super) struct Stages {
    interrupted: Arc<AtomicBool>,
    done: Vec<(&'static str, Duration)>,
}

impl Stages {
    pub(super) fn new(interrupted: Arc<AtomicBool>) -> Self {
        Self { interrupted, done: Vec::new() }
    }

    /// Does one part, unless a person has interrupted.
    pub(super) fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        let result = self.last(name, work);
        // What failed because its children got the same signal did not fail of itself.
        self.check()?;
        result
    }

    /// Does one part in any case.
    pub(super) fn last<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n==== {name}");
        let began = Instant::now();
        let result = work();
        self.done.push((name, began.elapsed()));
        result
    }

    fn check(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// One line a part.
    pub(super) fn table(&self) -> String {
        let mut table = String::new();
        for (name, took) in &self.done {
            let _ = writeln!(table, "  {name:<50} {:>7.1} s", took.as_secs_f64());
        }
        let whole: Duration = self.done.iter().map(|(_, took)| *took).sum();
        let _ = write!(table, "  {:<50} {:>7.1} s", "all of it", whole.as_secs_f64());
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_interruption_only_the_last_part_is_done() {
        let flag = Arc::new(AtomicBool::new(false));
        let mut stages = Stages::new(Arc::clone(&flag));
        assert_eq!(stages.stage("one", || Ok(1)).expect("nothing interrupts"), 1);
        assert!(
            stages
                .stage("two", || {
                    flag.store(true, Ordering::Relaxed);
                    Ok(())
                })
                .is_err()
        );
        assert!(stages.stage("three", || -> Result<()> { unreachable!("it is not begun") }).is_err());
        stages.last("four", || Ok(())).expect("it is done all the same");
        let names: Vec<_> = stages.done.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["one", "two", "four"]);
    }
}
