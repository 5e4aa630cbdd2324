//! One module for each command.

mod alone;
pub(crate) mod audit;
pub(crate) mod bitmaps;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod export;
pub(crate) mod extract;
pub(crate) mod generate;
pub(crate) mod georep;
pub(crate) mod guard;
pub(crate) mod info;
pub(crate) mod inspect;
mod keys;
pub(crate) mod locate;
pub(crate) mod ls;
pub(crate) mod map;
pub(crate) mod measure;
mod number;
mod opened;
pub(crate) mod recover;
pub(crate) mod run;
pub(crate) mod snapshots;
mod source;
pub(crate) mod verify;
pub(crate) mod version;
