//! The options of the command that is named, and of no other.
//!
//! To build all commands' options takes longer than what many commands do.

use std::ffi::OsStr;
use std::ops::Deref;
use std::sync::OnceLock;

use clap::error::Error;
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// The only command whose options are built, where that is known.
static NAMED: OnceLock<String> = OnceLock::new();

/// Has only the options of the command that `first`, a command line's first argument, names be built. Commands that tell of
/// others have all of them: `help`, and `generate`, which writes everybody's man pages.
pub(crate) fn only(first: Option<&OsStr>) {
    if let Some(name) = first.and_then(OsStr::to_str)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !["help", "generate"].contains(&name)
    {
        let _ = NAMED.set(name.to_owned());
    }
}

/// A command's options, without any where another is named.
#[derive(Debug)]
pub(crate) struct Named<T>(T);

impl<T> Deref for Named<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Named<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }

    fn update_from_arg_matches_mut(&mut self, matches: &mut ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches_mut(matches)
    }
}

impl<T: Args> Args for Named<T> {
    fn augment_args(command: Command) -> Command {
        if NAMED.get().is_none_or(|name| name == command.get_name()) {
            T::augment_args(command)
        } else {
            command
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        if NAMED.get().is_none_or(|name| name == command.get_name()) {
            T::augment_args_for_update(command)
        } else {
            command
        }
    }
}
