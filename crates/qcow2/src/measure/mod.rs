//! How much room a disk needs when it is converted: what `qemu-img measure` tells.
//!
//! ```
//! use stillpoint_qcow2::measure::{Layout, Measure};
//!
//! let measure = Measure::of_size(1 << 30, &Layout::default())?;
//! assert_eq!((measure.required, measure.fully_allocated), (393_216, 1_074_135_040));
//! # Ok::<(), stillpoint_qcow2::measure::MeasureError>(())
//! ```

mod layout;

use serde::{Deserialize, Serialize};

pub use layout::{Layout, MeasureError};

use crate::map::MapExtent;
use crate::tables::Bitmap;
use crate::{Error, info};

/// QEMU's `BlockMeasureInfo` (`qapi/block-core.json`), in the order in which qemu-img 10 prints it. All in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Measure {
    /// Room for the bitmaps, where the new image can have some; not part of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitmaps: Option<u64>,
    /// Room for the data that is there, and for tables as if all of the disk were.
    pub required: u64,
    /// Room for a disk that was written from one end to the other.
    pub fully_allocated: u64,
}

impl Measure {
    /// An empty disk of `size` bytes as a new qcow2 image of that layout.
    ///
    /// # Errors
    /// When the layout can't be, or not for a disk of that size.
    pub fn of_size(size: u64, layout: &Layout) -> Result<Self, MeasureError> {
        layout.measure(size, 0)
    }

    /// A disk of `size` bytes with these extents as a new qcow2 image of that layout. `bitmaps` are those of the
    /// disk's image, if it is one of version 3: others can't have any.
    ///
    /// # Errors
    /// As [`of_size`](Self::of_size), and the extents' own.
    pub fn of_extents(
        size: u64,
        extents: impl Iterator<Item = Result<MapExtent, Error>>,
        bitmaps: Option<&[Bitmap]>,
        layout: &Layout,
    ) -> Result<Result<Self, MeasureError>, Error> {
        let cluster = layout.cluster_size.bytes();
        let mut clusters = 0;
        // The first cluster that was not counted yet.
        let mut next = 0;
        for extent in extents {
            let extent = extent?;
            if extent.data && !extent.zero && extent.length > 0 {
                let (first, end) = ((extent.start / cluster).max(next), extent.end().div_ceil(cluster));
                clusters += end.saturating_sub(first);
                next = next.max(end);
            }
        }
        Ok(layout.measure(size, clusters).map(|measure| Self {
            bitmaps: bitmaps.filter(|_| layout.has_bitmaps()).map(|bitmaps| layout.bitmaps(size, bitmaps)),
            ..measure
        }))
    }

    /// A raw disk of `size` bytes: its size in whole sectors of 512.
    #[must_use]
    pub const fn raw(size: u64) -> Self {
        let size = crate::views::whole_sectors(size);
        Self { bitmaps: None, required: size, fully_allocated: size }
    }

    /// What `qemu-img measure --output=json` prints, without the last line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        info::print_json(self)
    }

    /// What `qemu-img measure` prints.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text =
            format!("required size: {}\nfully allocated size: {}\n", self.required, self.fully_allocated);
        if let Some(bitmaps) = self.bitmaps {
            text.push_str(&format!("bitmaps size: {bitmaps}\n"));
        }
        text
    }
}
