//! What is to be said of an image.

use std::fmt::Write;

use serde::Serialize;
use stillpoint_storage::Storage;

use super::{features, names};
use crate::info::human;
use crate::raw::RawBitmapsExtension;
use crate::tables::{Bitmap, BitmapFlags, Extensions, Header, Snapshot};
use crate::{Error, Image, Name};

/// How much care a fact takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Care {
    /// None.
    Plain,
    /// It is worth knowing.
    Notable,
    /// An image of a stranger's that has it must not be opened.
    Unsafe,
}

/// A fact and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Statement {
    /// How much care it takes.
    pub care: Care,
    /// What is so.
    pub fact: String,
    /// What that means.
    pub meaning: String,
}

/// An image in plain words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Account {
    /// What is to be said, the most general first.
    pub statements: Vec<Statement>,
}

impl Account {
    /// The account of an image that is open. Of the files that it names none is opened.
    ///
    /// # Errors
    /// When its bitmap directory breaks a rule or can't be read.
    pub fn of_image<S: Storage>(image: &Image<S>, filename: &Name) -> Result<Self, Error> {
        let mut account = Self::of_header(image.header(), image.extensions(), filename);
        account.snapshots(image.snapshots());
        account.bitmaps(&image.bitmaps()?);
        Ok(account)
    }

    /// The account of a raw disk.
    #[must_use]
    pub fn of_raw(len: u64) -> Self {
        let mut account = Self::default();
        account.plain(
            format!("It is raw: {} ({len} bytes) of a disk as they are", human(len)),
            "Nothing in it refers to anything else. Say that it is raw whenever it is opened: whoever writes to \
             the disk can make its first bytes look like any other format.",
        );
        account
    }

    /// What header and extensions say.
    pub(super) fn of_header(header: &Header, extensions: &Extensions, filename: &Name) -> Self {
        let mut account = Self::default();
        features::version(header, &mut account);
        features::size(header, &mut account);
        names::backing(header, extensions, filename, &mut account);
        names::data_file(header, extensions, filename, &mut account);
        features::encryption(header, extensions, &mut account);
        features::bits(header, extensions, &mut account);
        features::extensions(header, extensions, &mut account);
        account
    }

    /// How many snapshots and bitmaps the header tells, where their tables were not read.
    pub(super) fn counts(&mut self, header: &Header, bitmaps: Option<&RawBitmapsExtension>) {
        let snapshots = header.raw().nb_snapshots;
        if snapshots > 0 {
            self.notable(
                format!("It has {snapshots} internal snapshots, whose table was not read"),
                "They hold older states of the disk.",
            );
        }
        if let Some(bitmaps) = bitmaps {
            self.plain(
                format!("It has {} bitmaps, whose directory was not read", bitmaps.nb_bitmaps),
                "They record which parts of the disk were written to, for backups.",
            );
        }
    }

    fn snapshots(&mut self, snapshots: &[Snapshot]) {
        if snapshots.is_empty() {
            return;
        }
        let names: Vec<_> = snapshots.iter().take(20).map(|s| format!("{:?}", s.name)).collect();
        let more = if snapshots.len() > names.len() { ", …" } else { "" };
        self.notable(
            format!("It has {} internal snapshots: {}{more}", snapshots.len(), names.join(", ")),
            "They hold older states of the disk, which stay in the image when the disk is cleaned.",
        );
        let state: u64 = snapshots.iter().fold(0, |sum, s| sum.saturating_add(s.vm_state_size));
        if state > 0 {
            self.notable(
                format!("Snapshots hold {} of a virtual machine's memory and devices", human(state)),
                "The memory may hold secrets of who took it; loaded into a machine, it decides what runs there.",
            );
        }
    }

    fn bitmaps(&mut self, bitmaps: &[Bitmap]) {
        if bitmaps.is_empty() {
            return;
        }
        let in_use = bitmaps.iter().filter(|bitmap| bitmap.flags.contains(BitmapFlags::IN_USE)).count();
        let used = match in_use {
            0 => String::new(),
            count => format!("; {count} were not saved when the image was last open, and can't be believed"),
        };
        self.plain(
            format!("It has {} bitmaps{used}", bitmaps.len()),
            "They record which parts of the disk were written to, for backups.",
        );
    }

    pub(super) fn plain(&mut self, fact: impl Into<String>, meaning: impl Into<String>) {
        self.say(Care::Plain, fact, meaning);
    }

    pub(super) fn notable(&mut self, fact: impl Into<String>, meaning: impl Into<String>) {
        self.say(Care::Notable, fact, meaning);
    }

    pub(super) fn refuse(&mut self, fact: impl Into<String>, meaning: impl Into<String>) {
        self.say(Care::Unsafe, fact, meaning);
    }

    fn say(&mut self, care: Care, fact: impl Into<String>, meaning: impl Into<String>) {
        self.statements.push(Statement { care, fact: fact.into(), meaning: meaning.into() });
    }

    /// The most care that anything in it takes.
    #[must_use]
    pub fn care(&self) -> Care {
        self.statements.iter().map(|statement| statement.care).max().unwrap_or(Care::Plain)
    }

    /// The account as text: a fact on a line, what it means below it. `!` is before what is unsafe in an image of a
    /// stranger's, `*` before what is worth knowing.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Statement { care, fact, meaning } in &self.statements {
            let mark = match care {
                Care::Plain => ' ',
                Care::Notable => '*',
                Care::Unsafe => '!',
            };
            // Writing to a String can't fail.
            let _ = writeln!(text, "{mark} {fact}\n    {meaning}");
        }
        text
    }
}
