//! Telling from the files what an interrupted pivot left.

use std::error::Error;
use std::path::Path;

/// What comparing an overlay with its base told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Every cluster that the overlay holds is the same in the base: the overlay adds nothing.
    Equal,
    /// A cluster differs.
    Differs {
        /// The guest offset of the first byte of the first such cluster.
        first: u64,
    },
}

/// Compares all that an overlay holds with the layer below it.
///
/// Needed where QEMU ended between making a pivot and libvirt writing it down: the definition says overlay, the
/// guest may have gone on in the base. Equal means that the base holds all there is. This crate doesn't read
/// images, so the caller brings the comparison.
pub trait OverlayComparison: Sync {
    /// Compares the files of a domain that is off.
    ///
    /// # Errors
    /// When the files can't be read or understood: then nothing is known, and both are kept.
    fn compare(&self, overlay: &Path, base: &Path) -> Result<Comparison, Box<dyn Error + Send + Sync>>;
}
