//! Several ways, in turns, and their ratios.

use std::fmt;

use anyhow::{Result, ensure};

use crate::cost::Cost;

/// One of the ways.
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

/// What came of one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// What the way is called.
    pub name: String,
    /// Its best run.
    pub best: Cost,
    /// The run in the middle, by wall time: how far it is from the best tells how much the machine disturbs.
    pub median: Cost,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// What was done.
    pub what: String,
    /// Ours.
    pub ours: Timing,
    /// The peers', at least one.
    pub peers: Vec<Timing>,
    /// How many bytes one run goes through, where that says something.
    pub bytes: Option<u64>,
}

impl Comparison {
    /// Runs all `rounds` times in turns, after one run of each that does not count and warms the caches.
    ///
    /// # Errors
    /// The first of any way's, or when there is no peer.
    pub fn run(
        what: impl Into<String>,
        bytes: Option<u64>,
        rounds: u32,
        ours: Way<'_>,
        peers: Vec<Way<'_>>,
    ) -> Result<Self> {
        ensure!(!peers.is_empty(), "a comparison has a peer");
        let mut ways: Vec<_> = std::iter::once(ours).chain(peers).collect();
        for way in &mut ways {
            (way.run)()?;
        }
        let mut costs = vec![Vec::new(); ways.len()];
        for _ in 0..rounds.max(1) {
            for (way, costs) in ways.iter_mut().zip(&mut costs) {
                costs.push((way.run)()?);
            }
        }
        let mut timings = ways.into_iter().zip(costs).map(|(way, mut costs)| {
            costs.sort_by_key(|cost| cost.wall);
            Timing { name: way.name, best: costs[0], median: costs[costs.len() / 2] }
        });
        let ours = timings.next().unwrap_or_else(|| unreachable!("ours is the first way"));
        Ok(Self { what: what.into(), bytes, ours, peers: timings.collect() })
    }

    /// The first peer's wall time divided by ours: above 1, ours is faster.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ratio_to(&self.peers[0])
    }

    fn ratio_to(&self, peer: &Timing) -> f64 {
        peer.best.wall.as_secs_f64() / self.ours.best.wall.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        for (index, timing) in std::iter::once(&self.ours).chain(&self.peers).enumerate() {
            write!(
                f,
                "\n    {:<44} {:>10.3} ms wall {:>10.3} ms user+sys",
                timing.name,
                timing.best.wall.as_secs_f64() * 1e3,
                timing.best.cpu.as_secs_f64() * 1e3
            )?;
            if let Some(bytes) = self.bytes {
                let seconds = timing.best.wall.as_secs_f64().max(f64::MIN_POSITIVE);
                write!(f, " {:>7.0} MiB/s", bytes as f64 / seconds / f64::from(1 << 20))?;
            }
            if index > 0 {
                write!(f, "  ratio {:.2}", self.ratio_to(timing))?;
            }
        }
        Ok(())
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
            vec![
                Way::new("theirs", || Ok(cost(peer.next().expect("four runs")))),
                Way::new("others'", || Ok(cost(50))),
            ],
        )
        .expect("all ways work");
        assert_eq!((comparison.ours.best, comparison.ours.median), (cost(20), cost(30)));
        assert_eq!(comparison.peers[0].best, cost(80));
        assert!((comparison.ratio() - 4.0).abs() < 1e-9);
        let text = comparison.to_string();
        assert!(text.contains("ratio 4.00") && text.contains("ratio 2.50"), "{text}");
        assert!(text.contains("1000 MiB/s"), "{text}");
    }

    #[test]
    fn a_comparison_without_a_peer_is_none() {
        assert!(Comparison::run("a thing", None, 1, Way::new("ours", || Ok(cost(1))), Vec::new()).is_err());
    }
}
