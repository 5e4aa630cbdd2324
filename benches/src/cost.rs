//! What one run of something costs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};

/// Wall time, and the processor time of all threads (user and system together).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// From begin to end.
    pub wall: Duration,
    /// User and system time.
    pub cpu: Duration,
}

impl Cost {
    /// The mean of `count` runs that cost this much together; `count` is at least 1.
    #[must_use]
    pub fn of_each(self, count: u32) -> Self {
        let count = count.max(1);
        Self { wall: self.wall / count, cpu: self.cpu / count }
    }
}

/// Many runs together.
///
/// # Errors
/// The first run's that failed.
pub fn sum(costs: impl IntoIterator<Item = Result<Cost>>) -> Result<Cost> {
    let mut sum = Cost { wall: Duration::ZERO, cpu: Duration::ZERO };
    for cost in costs {
        let cost = cost?;
        sum = Cost { wall: sum.wall + cost.wall, cpu: sum.cpu + cost.cpu };
    }
    Ok(sum)
}

/// Runs `work` in this process.
///
/// # Errors
/// Those of `work`.
pub fn of_work(mut work: impl FnMut() -> Result<()>) -> Result<Cost> {
    let cpu = process_cpu();
    let began = Instant::now();
    work()?;
    Ok(Cost { wall: began.elapsed(), cpu: process_cpu().saturating_sub(cpu) })
}

fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Runs `command` to its end, what it prints thrown away.
///
/// # Errors
/// When it can't be started or does not succeed.
pub fn of_command(command: &mut Command) -> Result<Cost> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let cpu = children_cpu()?;
    let began = Instant::now();
    let status = command.status().with_context(|| format!("{program} can't be started"))?;
    let wall = began.elapsed();
    if !status.success() {
        bail!("{program}: {status}");
    }
    Ok(Cost { wall, cpu: children_cpu()?.saturating_sub(cpu) })
}

/// User and system time of the children that were waited for, in the kernel's ticks of 10 ms: right for one long
/// run, or for the sum over many short ones.
fn children_cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("can't read /proc/self/stat")?;
    // The second field is the program's name and may hold spaces; proc(5) counts from 1.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let field = |number: usize| after_name.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let ticks = field(16).zip(field(17)).map(|(user, system)| user + system);
    Ok(Duration::from_millis(10 * ticks.context("/proc/self/stat has no cutime and cstime")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_has_no_cost() {
        assert!(of_command(&mut Command::new("false")).is_err());
        assert!(of_command(&mut Command::new("/nonexistent/program")).is_err());
    }

    #[test]
    fn work_that_computes_costs_processor_time() {
        let cost = of_work(|| {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(20) {
                std::hint::spin_loop();
            }
            Ok(())
        })
        .expect("it computed");
        assert!(cost.cpu > Duration::ZERO && cost.wall >= Duration::from_millis(20));
    }

    #[test]
    fn the_error_of_the_work_is_kept() {
        assert_eq!(of_work(|| bail!("no disk")).expect_err("it fails").to_string(), "no disk");
    }
}
