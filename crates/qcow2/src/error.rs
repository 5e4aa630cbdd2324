//! The one error of this crate.

use std::io;

use crate::tables::{
    BitmapError, DecompressError, Encryption, ExtensionError, HeaderError, LuksError, MappingError,
    SnapshotError,
};
use crate::views::{ChainError, ReferenceError, Source};

/// Why an image can't be read, or what it names can't be opened.
///
/// The text says what happened and to what part of the image; which image it was, the caller knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes could not be read from the storage.
    #[error("reading {what} at offset {offset} failed")]
    Io {
        /// What was to be read.
        what: &'static str,
        /// Where in the file, in bytes.
        offset: u64,
        /// What the storage says.
        source: io::Error,
    },
    /// The header breaks a rule.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A header extension breaks a rule.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// The snapshot table breaks a rule.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The bitmap directory breaks a rule.
    #[error(transparent)]
    Bitmap(#[from] BitmapError),
    /// The LUKS header breaks a rule.
    #[error(transparent)]
    Luks(#[from] LuksError),
    /// An L1 or L2 table breaks a rule.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// A compressed cluster can't be decompressed.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// Guest data is encrypted, and there is no key for it, or it is of QEMU's legacy method, which is never
    /// decrypted here. What is stored is not returned in its place.
    #[error("{}", encrypted(*.0))]
    Encrypted(Encryption),
    /// No key opens an encrypted image.
    #[cfg(feature = "luks")]
    #[error(transparent)]
    Key(#[from] crate::luks::KeyError),
    /// The image has its guest data in another file, but doesn't name it.
    #[error("the image has its guest data in an external data file, but names none")]
    NoDataFile,
    /// A name in an image can't be understood, or was not allowed to be opened.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A backing chain has no end.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The file is in a format that is neither qcow2 nor raw.
    #[error("the file is in the format {0}, which is not read here; if it is raw all the same, say so")]
    OtherFormat(&'static str),
    /// The file is of another format than was asked for.
    #[error("the file was said to be in the format {0:?}, which is not read here: only qcow2 and raw are")]
    UnknownFormat(crate::Name),
}

impl Error {
    /// What is wrong in the layer of a chain that an error is of, or the error itself.
    pub(crate) fn innermost(&self) -> &Self {
        let mut error = self;
        while let Self::Chain(ChainError::Layer { source, .. }) = error {
            error = source;
        }
        error
    }

    /// Whether trying again can help without anything being changed: only where reading failed for the moment.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        let io = match self.innermost() {
            Self::Io { source, .. } | Self::Reference(ReferenceError::Open { source, .. }) => source,
            _ => return false,
        };
        use io::ErrorKind::{Interrupted, ResourceBusy, StaleNetworkFileHandle, TimedOut, WouldBlock};
        matches!(io.kind(), Interrupted | ResourceBusy | StaleNetworkFileHandle | TimedOut | WouldBlock)
    }

    /// What qemu-img 10 says of the same fault after `Could not open 'NAME': `, where it finds it a fault and
    /// says it in fixed words.
    #[must_use]
    pub fn qemu_text(&self) -> Option<String> {
        match self {
            Self::Header(error) => Some(error.qemu_text()),
            Self::Extension(error) => error.qemu_text(),
            Self::Snapshot(error) => error.qemu_text(),
            Self::Bitmap(error) => error.qemu_text(),
            Self::Luks(error) => Some(error.qemu_text()),
            Self::Encrypted(Encryption::Luks) => {
                Some("Parameter 'encrypt.key-secret' is required for cipher".into())
            }
            #[cfg(feature = "luks")]
            Self::Key(error) => error.qemu_text(),
            Self::Reference(ReferenceError::Open { path, source }) => {
                Some(Source::qemu_text(&path.to_text(), source))
            }
            // Each image is opened by the one above it.
            Self::Chain(ChainError::Layer { depth, source, .. }) => {
                Some("Could not open backing file: ".repeat(*depth) + &source.qemu_text()?)
            }
            _ => None,
        }
    }
}

fn encrypted(encryption: Encryption) -> String {
    let what = format!("the guest's data is encrypted with {encryption}");
    match encryption {
        Encryption::None => "the guest's data is not encrypted: there is nothing to unlock".into(),
        Encryption::Luks => format!("{what}; give its passphrase"),
        Encryption::Aes => format!(
            "{what}, QEMU's legacy method, which is not safe and is not read here; convert the image with qemu-img"
        ),
    }
}
