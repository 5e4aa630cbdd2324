//! One process with a deadline.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// The most of a process's output that is kept: far above the largest domain XML that libvirt sends.
const MAX_OUTPUT: u64 = 16 << 20;
/// How long the output of a process that ended may stay open in a process that it left behind.
const TO_DRAIN: Duration = Duration::from_secs(2);

/// The variable in a command's environment that tells the process that runs it. A command outlives a process that is
/// killed, and has its effect all the same: by this it is found.
pub const PARENT: &str = "STILLPOINT_PARENT";

pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) enum Failure {
    Start(io::Error),
    Deadline,
}

/// Runs a program to its end, or kills it, by its id, when the deadline passes.
pub(crate) fn run(argv: &[String], input: &str, deadline: Duration) -> Result<Ended, Failure> {
    let until = Instant::now() + deadline;
    let (program, arguments) =
        argv.split_first().ok_or_else(|| Failure::Start(io::ErrorKind::NotFound.into()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env(PARENT, std::process::id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Failure::Start)?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // Its end comes with the drop; that nobody reads it shows in the exit status.
        thread::spawn(move || stdin.write_all(input.as_bytes()));
    }
    let mut pause = Duration::from_millis(1);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() >= until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Failure::Deadline);
            }
            Ok(None) => thread::sleep(pause),
            Err(error) => return Err(Failure::Start(error)),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    let text = |from: Receiver<Vec<u8>>| {
        String::from_utf8_lossy(&from.recv_timeout(TO_DRAIN).unwrap_or_default()).into_owned()
    };
    Ok(Ended { success: status.success(), stdout: text(stdout), stderr: text(stderr) })
}

fn drain(from: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            let mut from = from;
            let _ = from.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes);
            let _ = send.send(bytes);
            // Never let the process block on a full pipe.
            let _ = io::copy(&mut from, &mut io::sink());
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn input_goes_in_and_both_outputs_come_out() {
        let ended = run(&argv(&["sh", "-c", "cat; echo no >&2; exit 3"]), "xml", Duration::from_secs(20));
        let ended = ended.ok().unwrap();
        assert!(!ended.success);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("xml", "no\n"));
    }

    #[test]
    fn a_process_that_hangs_is_killed_at_the_deadline() {
        let begun = Instant::now();
        let ended = run(&argv(&["sleep", "600"]), "", Duration::from_millis(100));
        assert!(matches!(ended, Err(Failure::Deadline)));
        assert!(begun.elapsed() < Duration::from_secs(300));
    }

    #[test]
    fn a_missing_program_is_an_error_of_starting() {
        let ended = run(&argv(&["/nonexistent/virsh"]), "", Duration::from_secs(1));
        assert!(matches!(ended, Err(Failure::Start(_))));
    }
}
