//! What goes to stderr.

use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use clap::{ColorChoice, ValueEnum as _};
use stillpoint_qcow2::with_causes;
use tracing_subscriber::EnvFilter;

use crate::cli::Global;

/// The variable that holds a filter, such as `debug` or `stillpoint_georep=trace`. It wins over `-v` and `-q`.
const VARIABLE: &str = "STILLPOINT_LOG";

/// What `--color`, or its variable, says, of a command line that nobody has understood yet.
pub(crate) fn colors_asked_for() -> ColorChoice {
    let args: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let value = |(number, argument): (usize, &String)| match argument.strip_prefix("--color")? {
        "" => args.get(number + 1).cloned(),
        rest => rest.strip_prefix('=').map(str::to_owned),
    };
    let asked = args.iter().enumerate().find_map(value).or_else(|| std::env::var("STILLPOINT_COLOR").ok());
    asked.and_then(|asked| ColorChoice::from_str(&asked, false).ok()).unwrap_or_default()
}

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
        // It would be told on stderr, and panic where that can't be written.
        .log_internal_errors(false)
        .with_ansi(colours && std::io::stderr().is_terminal())
        .with_target(global.verbose > 1)
        .compact()
        .init();
}

/// Tells a failure, with its causes.
pub(crate) fn failed(error: &anyhow::Error) {
    complain(&with_causes(error.as_ref()));
}

/// Writes one complaint to stderr, and no line feed after it.
pub(crate) fn complain_without_end(text: &str) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    // There is nobody to tell that stderr can't be written.
    let _ = write!(anstream::stderr().lock(), "{red}stillpoint:{red:#} {text}");
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
    let _ = writeln!(anstream::stderr().lock(), "{red}stillpoint:{red:#} {text}");
}
