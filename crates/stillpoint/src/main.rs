//! The command `stillpoint`.
//!
//! Arguments become calls of the libraries, results become text or JSON. Nothing is decided here.
#![forbid(unsafe_code)]

mod cli;
mod command;
mod exit;
mod logging;
mod output;
mod progress;
mod signals;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};

use cli::{Cli, Command};
use exit::{Exit, WrongUsage};

/// Verbs that take qemu-img's options and end with its exit codes.
const QEMU_IMG_VERBS: [&str; 5] = ["info", "check", "map", "measure", "compare"];

fn main() -> ExitCode {
    cli::only(std::env::args_os().nth(1).as_deref());
    // What clap says of a wrong command line is coloured as that asks for, too.
    let command = Cli::command().color(logging::colors_asked_for());
    let cli = match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    logging::choose_colors(cli.global.color);
    logging::start(&cli.global);
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(error) if output::is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            logging::failed(&error);
            if error.is::<WrongUsage>() { Exit::Usage } else { Exit::Failed }.into()
        }
    }
}

/// Prints what clap has to say, and tells the exit code: help and version are what was asked for; verbs of
/// `qemu-img`'s answer to a wrong command line as it does.
fn usage(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // There is nobody left to tell where this can't be written.
    let _ = error.print();
    if asked {
        Exit::Done.into()
    } else if std::env::args_os()
        .skip(1)
        .find(|arg| !arg.to_string_lossy().starts_with('-'))
        .is_some_and(|arg| QEMU_IMG_VERBS.iter().any(|verb| arg == *verb))
    {
        Exit::Failed.into()
    } else {
        Exit::Usage.into()
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let global = cli.global;
    match cli.command {
        Command::Info(args) => command::info::run(&args),
        Command::Inspect(args) => command::inspect::run(&args),
        Command::Check(args) => command::check::run(&args, &global),
        Command::Map(args) => command::map::run(&args),
        Command::Measure(args) => command::measure::run(&args),
        Command::Compare(args) => command::compare::run(&args, &global),
        Command::Extract(args) => command::extract::run(&args, &global),
        Command::Snapshots(args) => command::snapshots::run(&args),
        Command::Bitmaps(args) => command::bitmaps::run(&args),
        Command::Ls(args) => command::ls::run(&args),
        Command::Locate(args) => command::locate::run(&args),
        Command::Export(args) => command::export::run(&args, &global),
        Command::Audit(args) => command::audit::run(&args, &global),
        Command::Verify(args) => command::verify::run(&args, &global),
        Command::Run(args) => command::run::run(&args, &global),
        Command::Georep(args) => command::georep::run(&args, &global),
        Command::Recover(args) => command::recover::run(&args, &global),
        Command::Version(args) => command::version::run(&args),
        Command::Generate(args) => command::generate::run(&args),
        Command::Guard(args) => command::guard::run(&args),
    }
}
