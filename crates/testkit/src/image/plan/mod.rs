//! Images by choice: any bytes make a chain of sound images, and what must be read from them.
//!
//! For property tests, whose shrinking works on the bytes, and for fuzzing, whose mutations do. Versions, cluster
//! sizes, refcount widths, extended L2 entries, both compressions, clusters of every kind, packed and shared and
//! shuffled, data files, snapshots with VM state, resizing, bitmaps and backing files of either format are crossed.
//!
//! ```
//! use stillpoint_testkit::image::plan::Plan;
//!
//! let made = Plan::of(&[7; 200]).make();
//! assert_eq!(made.files[0].name, "0");
//! assert!(made.files[0].bytes.starts_with(b"QFI\xfb"));
//! ```

mod choices;
mod disk;
mod layer;

use choices::Choices;
use layer::Layer;

/// A chain of images that are to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    layers: Vec<Layer>,
    /// A raw file below all of them.
    raw: Option<Vec<u8>>,
}

/// The files of a chain, and what must be read from them.
#[derive(Debug, Clone)]
pub struct Made {
    /// Files by the names that images name them by. The first is the image at the top.
    pub files: Vec<MadeFile>,
    /// The guest's disk, through the whole chain.
    pub disk: Vec<u8>,
    /// Snapshots of the image at the top, in the order of its table; their ids are their numbers from 1 on.
    pub snapshots: Vec<MadeSnapshot>,
    /// Bitmaps of the image at the top, in the order of its directory.
    pub bitmaps: Vec<MadeBitmap>,
}

/// A file.
#[derive(Debug, Clone)]
pub struct MadeFile {
    /// Its name: a number, or one with `.data` or `.raw` behind it.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What must be read of a snapshot.
#[derive(Debug, Clone)]
pub struct MadeSnapshot {
    /// Its disk, through the whole chain.
    pub disk: Vec<u8>,
    /// The VM state.
    pub vm_state: Vec<u8>,
    /// Whether its entry tells the size of its disk. If not, its size is the image's.
    pub tells_size: bool,
}

/// What must be read of a bitmap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBitmap {
    /// Bytes that a bit is for.
    pub granularity: u64,
    /// Numbers of the bits that are set, in order.
    pub bits: Vec<u64>,
}

impl Plan {
    /// The plan that these bytes choose.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut choices = Choices::new(bytes);
        let depth = 1 + choices.below(8) / 3;
        let raw_len = if choices.rarely(3) { 1 + choices.below(60_000) } else { 0 };
        let raw = (raw_len > 0).then(|| (0..raw_len).map(|i| (i / 7) as u8 | 1).collect());
        let mut layers: Vec<Layer> = Vec::new();
        for number in (0..depth).rev() {
            let lowest = raw.is_none() && number == depth - 1;
            layers.insert(0, Layer::choose(&mut choices, lowest));
        }
        Self { layers, raw }
    }

    /// Makes the files.
    #[must_use]
    pub fn make(&self) -> Made {
        let mut files = Vec::new();
        let mut below = self.raw.clone().unwrap_or_default();
        let mut backing = self.raw.as_ref().map(|bytes| {
            files.push(MadeFile { name: "base.raw".into(), bytes: bytes.clone() });
            ("base.raw".to_owned(), "raw")
        });
        let mut snapshots = Vec::new();
        for (number, layer) in self.layers.iter().enumerate().rev() {
            let (name, data_name) = (number.to_string(), format!("{number}.data"));
            let named = backing.as_ref().map(|(name, format)| (name.as_str(), *format));
            let (bytes, data) = layer.builder(named, &data_name).build_files();
            files.extend(data.map(|bytes| MadeFile { name: data_name, bytes }));
            files.push(MadeFile { name: name.clone(), bytes });
            if number == 0 {
                let made = |snapshot: &layer::Snapshot| MadeSnapshot {
                    disk: layer.bytes(&snapshot.disk, &below),
                    vm_state: snapshot.vm_state.clone(),
                    tells_size: snapshot.tells_size,
                };
                snapshots = layer.snapshots.iter().map(made).collect();
            }
            below = layer.bytes(&layer.disk, &below);
            backing = Some((name, "qcow2"));
        }
        files.reverse();
        let bitmaps = self.layers.first().map(|layer| &*layer.bitmaps).unwrap_or_default().iter();
        let bitmaps = bitmaps.map(|(bits, set)| MadeBitmap { granularity: 1 << bits, bits: set.clone() });
        Made { files, disk: below, snapshots, bitmaps: bitmaps.collect() }
    }
}
