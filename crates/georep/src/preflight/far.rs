//! What can only be seen at the secondary's host.

use std::time::Duration;

use super::look::{Look, Remedy};
use super::{Check, Severity};
use crate::cli::clip;
use crate::runner::{Limit, Output, RunError, Runner};

/// How long a command there may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How far the clocks of both sites may be apart, in seconds.
const CLOCK: f64 = 2.0;

impl Look<'_> {
    pub(super) fn far_side(&mut self) {
        let Some(far) = self.options.far.clone() else { return };
        self.rsync(far.as_ref());
        self.clock(far.as_ref());
    }

    fn rsync(&mut self, far: &dyn Runner) {
        let host = self.session.name().secondary_host().to_owned();
        let said = match far.run(&["rsync", "--version"], &Limit::time(LIMIT)) {
            Ok(answer) if answer.code == Some(0) => first_line(&answer),
            Ok(answer) => Err(format!("{} ({:?})", clip(&text(&answer.stderr), 200), answer.code)),
            Err(error) => Err(error.to_string()),
        };
        match said {
            Ok(line) => {
                self.looked(Check::SecondaryRsync);
                if line.split_whitespace().skip_while(|w| *w != "version").nth(1).is_some_and(skips) {
                    let seen = format!(
                        "rsync at {host} is one that looks at no file where secondary-access-mount is off ({line})"
                    );
                    let matters = "nothing is replicated then, and nobody says so; with secondary-access-mount true it works";
                    self.find(Check::SecondaryRsync, Severity::Note, seen, matters, Remedy::None);
                }
            }
            Err(error) => {
                let seen = format!("which rsync {host} has could not be seen: {error}");
                let matters = "without rsync there nothing is replicated";
                self.find(Check::SecondaryRsync, Severity::Warn, seen, matters, Remedy::None);
            }
        }
    }

    fn clock(&mut self, far: &dyn Runner) {
        let before = self.session.clock().now();
        let answer = far.run(&["date", "+%s.%N"], &Limit::time(LIMIT));
        let after = self.session.clock().now();
        let Some(there) = seconds(&answer) else { return };
        self.looked(Check::SecondaryClock);
        // It was some time between the question and the answer.
        let (before, after) = (before.as_millisecond() as f64 / 1e3, after.as_millisecond() as f64 / 1e3);
        let apart = if there < before { there - before } else { (there - after).max(0.0) };
        if apart.abs() > CLOCK {
            let host = self.session.name().secondary_host();
            let seen = format!(
                "the clock of {host} is {:.1} s {}",
                apart.abs(),
                if apart > 0.0 { "ahead" } else { "behind" }
            );
            let matters = "checkpoints go by the primary's clocks alone; logs of both sides can't be compared by their times";
            let remedy = Remedy::Do("set the clocks of both sites by NTP".to_owned());
            self.find(Check::SecondaryClock, Severity::Note, seen, matters, remedy);
        }
    }
}

/// Whether this version of rsync resolves the link that gsyncd gives it by its text, and so looks at nothing.
fn skips(version: &str) -> bool {
    version == "3.5.0"
}

fn first_line(answer: &Output) -> Result<String, String> {
    let text = text(&answer.stdout);
    text.lines().next().map(|line| clip(line, 200)).ok_or_else(|| "it said nothing".to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn seconds(answer: &Result<Output, RunError>) -> Option<f64> {
    let answer = answer.as_ref().ok()?;
    text(&answer.stdout).trim().parse::<f64>().ok().filter(|s| s.is_finite())
}
