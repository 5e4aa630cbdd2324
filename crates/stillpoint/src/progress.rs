//! Showing on a terminal how far something is that takes longer than two seconds.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Global;

/// What takes less isn't shown.
const QUIET_FOR: Duration = Duration::from_secs(2);

/// A bar or a line on stderr, if that is a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    shown: bool,
    enabled: bool,
    began: Instant,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new(global: &Global) -> Self {
        let enabled = !global.quiet && std::io::stderr().is_terminal();
        Self { bar: ProgressBar::hidden(), shown: false, enabled, began: Instant::now() }
    }

    /// Shows `done` of `total` bytes of `what`.
    pub(crate) fn bytes(&mut self, what: &str, done: u64, total: u64) {
        if !self.show() {
            return;
        }
        if self.bar.length() != Some(total) || self.bar.message() != what {
            if let Ok(style) =
                ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
            {
                self.bar.set_style(style);
            }
            self.bar.set_length(total);
            self.bar.set_message(what.to_owned());
        }
        self.bar.set_position(done);
    }

    /// Shows a line.
    pub(crate) fn line(&mut self, what: String) {
        if !self.show() {
            return;
        }
        if self.bar.length().is_some() {
            self.bar.unset_length();
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            self.bar.set_style(style);
        }
        self.bar.enable_steady_tick(Duration::from_millis(200));
        self.bar.set_message(what);
    }

    fn show(&mut self) -> bool {
        if !self.shown && self.enabled && self.began.elapsed() >= QUIET_FOR {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
        self.shown
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
