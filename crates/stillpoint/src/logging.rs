//! What goes to stderr.

use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use tracing_subscriber::EnvFilter;

use crate::cli::Global;

/// The variable that holds a filter, such as `debug` or `stillpoint_georep=trace`. It wins over `-v` and `-q`.
const VARIABLE: &str = "STILLPOINT_LOG";

/// Has everything that is written coloured or not from now on; `auto` heeds `NO_COLOR`.
pub(crate) fn choose_colors(when: ColorChoice) {
    match when {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Sends what the libraries trace to stderr.
pub(crate) fn start(global: &Global) {
    let default = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours && std::io::stderr().is_terminal())
        .with_target(global.verbose > 1)
        .compact()
        .init();
}

/// Tells a failure, with its causes.
pub(crate) fn failed(error: &anyhow::Error) {
    complain(&with_causes(error));
}

/// An error and its causes, but those that the text before them has told already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = told + ": " + &cause;
        }
    }
    told
}

/// Writes one complaint to stderr, and no line feed after it.
pub(crate) fn complain_without_end(text: &str) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    anstream::eprint!("{red}stillpoint:{red:#} {text}");
}

/// Writes lines to stderr as they are.
pub(crate) fn lines(lines: impl IntoIterator<Item = String>) {
    let mut out = std::io::BufWriter::new(anstream::stderr().lock());
    for line in lines {
        // There is nobody to tell that stderr can't be written.
        if writeln!(out, "{line}").is_err() {
            return;
        }
    }
}

/// Writes one complaint to stderr.
pub(crate) fn complain(text: &str) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    anstream::eprintln!("{red}stillpoint:{red:#} {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_none_is_left_out() {
        let error =
            anyhow::anyhow!("no such file").context("can't open a: no such file").context("can't run");
        assert_eq!(with_causes(&error), "can't run: can't open a: no such file");
        let error = anyhow::anyhow!("third").context("second").context("first");
        assert_eq!(with_causes(&error), "first: second: third");
    }
}
