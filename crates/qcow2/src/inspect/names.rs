//! What an image refers to outside of itself.

use std::path::{Component, Path};

use super::account::Account;
use crate::Name;
use crate::raw::{Autoclear, Incompatible};
use crate::tables::{Extensions, Header};
use crate::views::{Reference, ReferenceKind, Target};

pub(super) fn backing(header: &Header, extensions: &Extensions, filename: &Name, account: &mut Account) {
    let Some(backing) = header.backing() else { return };
    let stored = Name::from_c(backing.stored.as_bytes());
    if stored.is_empty() {
        return;
    }
    let format = extensions.backing_format().filter(|format| !format.is_empty());
    let format = match format {
        Some(format) => format!("in the format {format:?}"),
        None => "without a format, so that QEMU guesses it from bytes that a guest may have written".into(),
    };
    account.refuse(
        format!("It names a backing file, {stored:?}, {format}"),
        format!(
            "What the image doesn't have itself is read from there, with the rights of who opens it. {}",
            reach(ReferenceKind::Backing, filename, &stored)
        ),
    );
}

pub(super) fn data_file(header: &Header, extensions: &Extensions, filename: &Name, account: &mut Account) {
    let stored = extensions.data_file().filter(|name| !name.is_empty());
    if !header.incompatible().contains(Incompatible::DATA_FILE) {
        if let Some(stored) = stored {
            account.notable(
                format!(
                    "It names a data file, {stored:?}, but the bit that says that data is there is not set"
                ),
                "The name means nothing.",
            );
        }
        return;
    }
    let raw = match header.autoclear().contains(Autoclear::DATA_FILE_RAW) {
        true => "which is the disk as it is",
        false => "whose clusters are the disk's only together with this image",
    };
    match stored {
        Some(stored) => account.refuse(
            format!("Its data is in another file, {stored:?}, {raw}"),
            format!(
                "Whatever is read or written goes there, with the rights of who opens the image. {}",
                reach(ReferenceKind::DataFile, filename, stored)
            ),
        ),
        None => account.refuse(
            "Its data is in another file, which it doesn't name",
            "Who opens it has to say which file that is.",
        ),
    }
}

/// Where a name leads, and whether it would be followed here.
fn reach(kind: ReferenceKind, filename: &Name, stored: &Name) -> String {
    let reference = match Reference::parse(kind, filename, stored) {
        Ok(reference) => reference,
        Err(error) => return format!("The name can't be followed: {error}."),
    };
    match &reference.target {
        Target::Protocol { scheme } => {
            format!(
                "The name leads to the protocol {scheme:?}, perhaps over the network; it is never followed here."
            )
        }
        Target::File { path, .. } if is_below(filename, path) => {
            format!("{path:?} is below the image's own directory, where names are followed.")
        }
        Target::File { path, .. } => {
            format!(
                "{path:?} is outside of the image's own directory: it is not followed unless that is allowed."
            )
        }
    }
}

/// Whether `path` is below the directory of `image` by its name; symbolic links are not looked at.
fn is_below(image: &Name, path: &Name) -> bool {
    let directory = image.as_path().parent().unwrap_or(Path::new(""));
    let normal =
        |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    path.as_path().strip_prefix(directory).is_ok_and(normal)
}
