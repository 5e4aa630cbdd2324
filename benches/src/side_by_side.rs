//! Two ways, in turns, and their ratio.

use std::fmt;

use anyhow::Result;

use crate::cost::Cost;

/// One of the two ways.
pub struct Way<'a> {
    /// What it is called in the table.
    pub name: String,
    /// Does it once.
    pub run: Box<dyn FnMut() -> Result<Cost> + 'a>,
}

impl fmt::Debug for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Way<'a> {
    /// A way called `name`.
    pub fn new(name: impl Into<String>, run: impl FnMut() -> Result<Cost> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// What was done.
    pub what: String,
    /// Ours: its name and its best run.
    pub ours: (String, Cost),
    /// The peer's.
    pub peer: (String, Cost),
    /// How many bytes one run goes through, where that says something.
    pub bytes: Option<u64>,
}

impl Comparison {
    /// Runs both `rounds` times in turns, after one run of each that does not count and warms the caches.
    ///
    /// # Errors
    /// The first of either way's.
    pub fn run(
        what: impl Into<String>,
        bytes: Option<u64>,
        rounds: u32,
        mut ours: Way<'_>,
        mut peer: Way<'_>,
    ) -> Result<Self> {
        (ours.run)()?;
        (peer.run)()?;
        let mut best: Option<(Cost, Cost)> = None;
        for _ in 0..rounds.max(1) {
            let (a, b) = ((ours.run)()?, (peer.run)()?);
            best = Some(match best {
                None => (a, b),
                Some((best_a, best_b)) => (faster(a, best_a), faster(b, best_b)),
            });
        }
        // At least one round was run.
        let (a, b) = best.unwrap_or_else(|| unreachable!("a round was run"));
        Ok(Self { what: what.into(), bytes, ours: (ours.name, a), peer: (peer.name, b) })
    }

    /// The peer's wall time divided by ours: above 1, ours is faster.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.peer.1.wall.as_secs_f64() / self.ours.1.wall.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

fn faster(a: Cost, b: Cost) -> Cost {
    if a.wall <= b.wall { a } else { b }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        for (name, cost) in [&self.ours, &self.peer] {
            write!(
                f,
                "    {name:<50} {:>10.3} ms wall {:>10.3} ms user+sys",
                cost.wall.as_secs_f64() * 1e3,
                cost.cpu.as_secs_f64() * 1e3
            )?;
            if let Some(bytes) = self.bytes {
                let rate = bytes as f64 / cost.wall.as_secs_f64().max(f64::MIN_POSITIVE) / f64::from(1 << 20);
                write!(f, " {rate:>8.0} MiB/s")?;
            }
            writeln!(f)?;
        }
        write!(f, "    ratio {:.2} (the peer's wall time by ours)", self.ratio())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cost(ms: u64) -> Cost {
        Cost { wall: Duration::from_millis(ms), cpu: Duration::from_millis(ms) }
    }

    #[test]
    fn the_best_round_of_each_counts_and_the_first_run_does_not() {
        let mut ours = [1, 30, 20, 40].into_iter();
        let mut peer = [1, 90, 80, 100].into_iter();
        let comparison = Comparison::run(
            "a thing",
            Some(20 << 20),
            3,
            Way::new("ours", || Ok(cost(ours.next().expect("four runs")))),
            Way::new("theirs", || Ok(cost(peer.next().expect("four runs")))),
        )
        .expect("both ways work");
        assert_eq!(comparison.ours.1, cost(20));
        assert_eq!(comparison.peer.1, cost(80));
        assert!((comparison.ratio() - 4.0).abs() < 1e-9);
        let text = comparison.to_string();
        assert!(text.contains("ratio 4.00") && text.contains("1000 MiB/s"), "{text}");
    }
}
