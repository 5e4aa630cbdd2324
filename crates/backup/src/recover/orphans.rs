//! Commands that a run had under way when it died. They are processes of their own: they go on, and what they were to do
//! happens after its run is gone. What is looked at before that is not what will be.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How long one may go on: the runners' own limit of 120 s, and some more.
const LIMIT: Duration = Duration::from_secs(150);
const PAUSE: Duration = Duration::from_millis(100);
/// Most bytes of a process's environment that are looked through: more than Linux lets it begin with by default.
const ENVIRONMENT: u64 = 8 << 20;

/// A command whose process of ours is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Orphan {
    pid: u32,
    command: String,
}

/// Waits until none of them is left.
///
/// # Errors
/// [`Error::Orphans`] where one outlives its time.
pub(super) fn wait() -> Result<()> {
    wait_at(Path::new("/proc"), LIMIT)
}

fn wait_at(proc: &Path, limit: Duration) -> Result<()> {
    let began = Instant::now();
    // Between the names of a directory's reading a process can have been replaced by its child: two looks agree.
    let mut looks = 0;
    while looks < 2 {
        let left = orphans(proc);
        if left.is_empty() {
            looks += 1;
            continue;
        }
        looks = 0;
        if began.elapsed() >= limit {
            let commands = left.iter().map(|orphan| format!("{} ({})", orphan.pid, orphan.command));
            return Err(Error::Orphans { commands: commands.collect::<Vec<_>>().join(", ") });
        }
        tracing::info!(?left, "waiting for commands of an interrupted run");
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn orphans(proc: &Path) -> Vec<Orphan> {
    let Ok(entries) = std::fs::read_dir(proc) else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let parent = parent_in_environment(&proc.join(pid.to_string()).join("environ"))?;
        let is_dead = !proc.join(parent.to_string()).exists();
        is_dead.then(|| Orphan { pid, command: command(&proc.join(pid.to_string()).join("cmdline")) })
    })
    .collect()
}

/// Whose command a process is, where it is one. Those of others can't be read, and aren't ours.
fn parent_in_environment(environ: &Path) -> Option<u32> {
    let mut bytes = Vec::new();
    std::fs::File::open(environ).ok()?.take(ENVIRONMENT).read_to_end(&mut bytes).ok()?;
    // Virsh's runner has the same name.
    let name = stillpoint_georep::PARENT;
    let value = bytes.split(|&byte| byte == 0).find_map(|entry| {
        entry
            .strip_prefix(name.as_bytes())?
            .strip_prefix(b"=")
            .and_then(|value| std::str::from_utf8(value).ok())
    });
    value?.parse().ok()
}

fn command(cmdline: &Path) -> String {
    let bytes = std::fs::read(cmdline).unwrap_or_default();
    let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_command_is_waited_for_once_the_process_that_ran_it_is_dead() {
        assert_eq!(stillpoint_georep::PARENT, stillpoint_virt::PARENT);
        let mut dead = Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let of = |parent: u32| {
            let mut sleep = Command::new("sleep");
            sleep.arg("600").env(stillpoint_georep::PARENT, parent.to_string()).stdin(Stdio::null());
            sleep.spawn().unwrap()
        };
        let (mut orphan, mut ours) = (of(dead.id()), of(std::process::id()));
        let proc = Path::new("/proc");
        // Until it is the new program, it has our environment.
        let until = Instant::now() + Duration::from_secs(60);
        while !orphans(proc).iter().any(|found| found.pid == orphan.id()) && Instant::now() < until {
            std::thread::sleep(PAUSE);
        }
        let found = orphans(proc);
        let error = wait_at(proc, Duration::ZERO).unwrap_err().to_string();
        orphan.kill().unwrap();
        orphan.wait().unwrap();
        let after = orphans(proc);
        ours.kill().unwrap();
        ours.wait().unwrap();
        assert!(found.contains(&Orphan { pid: orphan.id(), command: "sleep 600".to_owned() }), "{found:?}");
        assert!(found.iter().all(|found| found.pid != ours.id()), "{found:?}");
        assert!(error.contains(&format!("{} (sleep 600)", orphan.id())), "{error}");
        assert!(after.iter().all(|found| found.pid != orphan.id()), "{after:?}");
    }
}
