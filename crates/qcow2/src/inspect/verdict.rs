//! Whether to let an image in.

use std::io::{self, Read};

use serde::Serialize;
use stillpoint_storage::Storage;

use super::account::{Account, Care};
use super::stream;
use crate::causes::with_causes;
use crate::check::{CheckOptions, CheckReport, Class, Consequence, Finding};
use crate::info::human;
use crate::views::detect;
use crate::{Error, Format, Image, Name};

/// What an image is held against.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InspectOptions {
    /// The image's name, as it is to be shown. Relative names in the image are judged by its directory.
    pub filename: Name,
    /// The format that it must be in, if only one will do.
    pub format: Option<Format>,
    /// The largest disk that is let in, in bytes; no limit unless said otherwise.
    pub max_size: u64,
    /// Whether the header is all that is judged, so that a stream whose header is safe is safe.
    pub header_only: bool,
}

impl Default for InspectOptions {
    fn default() -> Self {
        Self { filename: "-".into(), format: None, max_size: u64::MAX, header_only: false }
    }
}

impl InspectOptions {
    /// Sets the name.
    #[must_use]
    pub fn filename(mut self, name: impl Into<Name>) -> Self {
        self.filename = name.into();
        self
    }

    /// Sets the format that it must be in.
    #[must_use]
    pub const fn format(mut self, format: Option<Format>) -> Self {
        self.format = format;
        self
    }

    /// Sets the largest disk that is let in, in bytes.
    #[must_use]
    pub const fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Sets whether the header is all that is judged.
    #[must_use]
    pub const fn header_only(mut self, only: bool) -> Self {
        self.header_only = only;
        self
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing speaks against it.
    Safe,
    /// Nothing was found that speaks against it, but not all could be looked at.
    Incomplete,
    /// It must not be opened.
    Unsafe,
}

/// The answer and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// What was seen. What has the most care is the reason.
    pub account: Account,
}

impl Verdict {
    /// Judges all of an image: header, names, and every table. Nothing else is opened.
    ///
    /// Memory and work are those of [opening](Image::open) and [checking](crate::check) it.
    pub fn of_storage<S: Storage + ?Sized>(storage: &S, options: &InspectOptions) -> Self {
        let format = match probe(storage, options) {
            Ok(format) => format,
            Err(account) => return Self::new(account),
        };
        if format == Format::Raw {
            let mut account = Account::of_raw(storage.len());
            limit(storage.len(), options, &mut account);
            return Self::new(account);
        }
        let image = match Image::open(storage) {
            Ok(image) => image,
            Err(error) => return Self::new(refused(&error)),
        };
        let mut account = match Account::of_image(&image, &options.filename) {
            Ok(account) => account,
            Err(error) => return Self::new(refused(&error)),
        };
        limit(image.virtual_size(), options, &mut account);
        if !options.header_only {
            match CheckReport::gather(storage, &CheckOptions::default().max_findings(1000)) {
                Ok(report) => tables(&report, &mut account),
                Err(error) => return Self::new(refused(&error)),
            }
        }
        Self::new(account)
    }

    /// Judges an image as it comes by, without going back: what names other files, and whether the header is sound,
    /// is seen at once. An image of less than 4 MiB is judged wholly; of a larger one the entries of L1 and L2 tables
    /// in its first 4 MiB, and the account tells how many those are.
    ///
    /// Memory: 4 MiB. A stream that is found unsafe is not read to its end.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn of_stream<R: Read>(stream: R, options: &InspectOptions) -> io::Result<Self> {
        stream::judge(stream, options)
    }

    /// The answer that an account gives.
    pub(super) fn new(account: Account) -> Self {
        let outcome = if account.care() == Care::Unsafe { Outcome::Unsafe } else { Outcome::Safe };
        Self { outcome, account }
    }
}

/// The format, or why the file is refused for it.
pub(super) fn probe<S: Storage + ?Sized>(storage: &S, options: &InspectOptions) -> Result<Format, Account> {
    let format = detect(storage).map_err(|error| refused(&error))?;
    match options.format {
        Some(wanted) if wanted != format => {
            let mut account = Account::default();
            account.refuse(
                format!("It looks like {format}, but was said to be {wanted}"),
                "Opened as the one it was said to be, it is not what its maker meant; opened as what it looks like, \
                 it is not what you meant.",
            );
            Err(account)
        }
        _ => Ok(format),
    }
}

/// The account of what can't be opened.
pub(super) fn refused(error: &Error) -> Account {
    let mut account = Account::default();
    account.refuse(
        format!("It can't be opened: {}", with_causes(error)),
        "What isn't understood is not let in.",
    );
    account
}

pub(super) fn limit(size: u64, options: &InspectOptions, account: &mut Account) {
    if size > options.max_size {
        account.refuse(
            format!(
                "The disk has {} ({size} bytes), more than {} are let in",
                human(size),
                human(options.max_size)
            ),
            "Whoever copies it out of the image needs that much space, however small the image is.",
        );
    }
}

fn tables(report: &CheckReport, account: &mut Account) {
    if let Some(failure) = &report.failure {
        account.refuse(
            format!("It could not be checked to the end: {failure}"),
            "What can't be looked at is not let in.",
        );
    }
    let errors = report.corruptions + report.check_errors;
    let worst = report.findings.iter().filter(|finding| {
        let dangerous = finding.consequence() >= Consequence::UnsafeToWrite;
        // The corrupt bit was told with the header.
        dangerous && finding.class() != Class::Leak && **finding != Finding::MarkedCorrupt
    });
    let worst: Vec<_> = worst.take(3).map(ToString::to_string).collect();
    if errors > 0 || !worst.is_empty() {
        let count = errors.max(worst.len() as u64);
        account.refuse(
            format!("Its tables are damaged: {count} findings, such as {}", worst.join("; ")),
            "Data can't be read, or is overwritten when the image is written to.",
        );
    }
    if report.leaks > 0 {
        account.notable(
            format!("{} clusters are leaked", report.leaks),
            "They take space in the file, and may hold what was deleted.",
        );
    }
    if errors == 0 && worst.is_empty() && report.failure.is_none() {
        account.plain("Its tables are sound", "Every table and refcount was looked at.");
    }
}
