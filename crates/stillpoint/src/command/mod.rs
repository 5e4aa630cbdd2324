//! One module for each command.

pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod export;
pub(crate) mod extract;
pub(crate) mod generate;
pub(crate) mod guard;
pub(crate) mod info;
pub(crate) mod locate;
pub(crate) mod map;
pub(crate) mod measure;
mod number;
mod opened;
pub(crate) mod recover;
pub(crate) mod run;
mod source;
pub(crate) mod verify;
pub(crate) mod version;
