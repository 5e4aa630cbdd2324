//! One extent.

use serde::{Deserialize, Serialize};

/// A part of the disk that is one thing, in one layer and in one place: QEMU's `MapEntry`
/// (`qapi/block-core.json`), in the order in which qemu-img 10 prints its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MapExtent {
    /// Where it begins on the disk, in bytes.
    pub start: u64,
    /// How long it is, in bytes.
    pub length: u64,
    /// The layer that decides what it is, 0 being the image itself.
    pub depth: usize,
    /// Whether that layer has it; `false` where no layer does, so that another backing file could change it.
    pub present: bool,
    /// Whether it reads as zeros.
    pub zero: bool,
    /// Whether something is stored for it; also where the host's file has a hole there.
    pub data: bool,
    /// Whether it is stored compressed.
    pub compressed: bool,
    /// Where it is in the layer's file (see [`GuestMap::file_name`](super::GuestMap::file_name)), in bytes. Absent
    /// where it is compressed, encrypted or nowhere; present for zeros that have a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl MapExtent {
    /// Nothing, at `start`.
    pub(super) const fn nothing(start: u64, length: u64, depth: usize) -> Self {
        Self {
            start,
            length,
            depth,
            present: false,
            zero: false,
            data: false,
            compressed: false,
            offset: None,
        }
    }

    /// The first byte after it.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    /// Takes `next`, which begins where this ends, into it, if both are one thing in one place.
    pub(super) fn merge(&mut self, next: &Self) -> bool {
        let same = self.depth == next.depth
            && self.present == next.present
            && self.zero == next.zero
            && self.data == next.data
            && self.compressed == next.compressed
            && match (self.offset, next.offset) {
                (None, None) => true,
                (Some(a), Some(b)) => a.checked_add(self.length) == Some(b),
                _ => false,
            };
        if same {
            self.length += next.length;
        }
        same
    }
}
