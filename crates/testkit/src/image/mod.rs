//! An independent writer of qcow2 images.
//!
//! [`ImageBuilder`] lays out a valid image of version 2 or 3 with empty tables, and lets each number be set to
//! what a test wants, valid or not. Written from the specification (docs/interop/qcow2 in QEMU's tree); it
//! shares nothing with the reader that it tests, not even constants.
//!
//! ```
//! use stillpoint_testkit::image::{ImageBuilder, SnapshotSpec};
//!
//! let image = ImageBuilder::v3()
//!     .size(1 << 30)
//!     .cluster_bits(12)
//!     .snapshot(SnapshotSpec::new("1", "before"))
//!     .build();
//! assert_eq!(&image[..8], b"QFI\xfb\0\0\0\x03");
//! ```

mod bitmap;
mod build;
mod bytes;
mod guest;
mod header;
mod layout;
mod luks;
pub mod matrix;
pub mod oracle;
pub mod plan;
mod snapshot;

pub use bitmap::BitmapSpec;
pub use guest::ClusterSpec;
pub use header::{HeaderSpec, offset};
pub use luks::{LuksSlotSpec, LuksSpec};
pub use snapshot::SnapshotSpec;

/// Numbers that say what a header extension is.
pub mod extension {
    /// Format of the backing file.
    pub const BACKING_FORMAT: u32 = 0xE279_2ACA;
    /// Names of feature bits.
    pub const FEATURE_NAMES: u32 = 0x6803_F857;
    /// The bitmap directory.
    pub const BITMAPS: u32 = 0x2385_2875;
    /// The LUKS header.
    pub const CRYPTO: u32 = 0x0537_BE77;
    /// The external data file.
    pub const DATA_FILE: u32 = 0x4441_5441;
}

/// Builds an image.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    header: HeaderSpec,
    unknown_fields: Vec<u8>,
    extensions: Vec<(u32, Vec<u8>)>,
    feature_names: Vec<(u8, u8, Vec<u8>)>,
    backing: Option<Vec<u8>>,
    clusters: Vec<(u64, ClusterSpec)>,
    snapshots: Vec<SnapshotSpec>,
    bitmaps: Vec<BitmapSpec>,
    luks: Option<LuksSpec>,
    patches: Vec<(u64, Vec<u8>)>,
    length: Option<u64>,
    order: guest::Order,
}

impl ImageBuilder {
    /// An image of version 3 with a header of 112 bytes, clusters of 64 KiB, and a disk of 1 MiB.
    #[must_use]
    pub fn v3() -> Self {
        Self::with(HeaderSpec { version: 3, header_length: 112, ..HeaderSpec::default() })
    }

    /// The same of version 2, whose header has 72 bytes.
    #[must_use]
    pub fn v2() -> Self {
        Self::with(HeaderSpec { version: 2, header_length: 72, ..HeaderSpec::default() })
    }

    fn with(header: HeaderSpec) -> Self {
        Self {
            header,
            unknown_fields: Vec::new(),
            extensions: Vec::new(),
            feature_names: Vec::new(),
            backing: None,
            clusters: Vec::new(),
            snapshots: Vec::new(),
            bitmaps: Vec::new(),
            luks: None,
            patches: Vec::new(),
            length: None,
            order: guest::Order::default(),
        }
    }

    /// Virtual size in bytes. The L1 table is made for it.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.header.size = bytes;
        self
    }

    /// Clusters of `1 << bits` bytes.
    #[must_use]
    pub fn cluster_bits(mut self, bits: u32) -> Self {
        self.header.cluster_bits = bits;
        self
    }

    /// Refcounts of `1 << order` bits.
    #[must_use]
    pub fn refcount_order(mut self, order: u32) -> Self {
        self.header.refcount_order = order;
        self
    }

    /// Incompatible feature bits.
    #[must_use]
    pub fn incompatible(mut self, bits: u64) -> Self {
        self.header.incompatible |= bits;
        self
    }

    /// Compatible feature bits.
    #[must_use]
    pub fn compatible(mut self, bits: u64) -> Self {
        self.header.compatible |= bits;
        self
    }

    /// Autoclear feature bits.
    #[must_use]
    pub fn autoclear(mut self, bits: u64) -> Self {
        self.header.autoclear |= bits;
        self
    }

    /// Compression type, and its feature bit (incompatible, 3) where the type isn't 0.
    #[must_use]
    pub fn compression(mut self, kind: u8) -> Self {
        self.header.compression_type = kind;
        self.incompatible(if kind == 0 { 0 } else { 8 })
    }

    /// Encryption method.
    #[must_use]
    pub fn crypt_method(mut self, method: u32) -> Self {
        self.header.crypt_method = method;
        self
    }

    /// Fields after the 112 bytes of the header that are known; the header gets longer by them.
    #[must_use]
    pub fn unknown_fields(mut self, bytes: &[u8]) -> Self {
        self.unknown_fields = bytes.to_vec();
        self
    }

    /// A header of 104 bytes, as QEMU wrote it before 5.1.
    #[must_use]
    pub fn short_header(mut self) -> Self {
        self.header.header_length = 104;
        self
    }

    /// One more header extension.
    #[must_use]
    pub fn extension(mut self, magic: u32, data: &[u8]) -> Self {
        self.extensions.push((magic, data.to_vec()));
        self
    }

    /// One more entry of the feature name table. `kind` is 0 incompatible, 1 compatible, 2 autoclear.
    #[must_use]
    pub fn feature_name(mut self, kind: u8, bit: u8, name: &str) -> Self {
        self.feature_names.push((kind, bit, name.as_bytes().to_vec()));
        self
    }

    /// The backing file's name, and its format where there is one.
    #[must_use]
    pub fn backing(mut self, name: &[u8], format: Option<&str>) -> Self {
        self.backing = Some(name.to_vec());
        match format {
            Some(format) => self.extension(extension::BACKING_FORMAT, format.as_bytes()),
            None => self,
        }
    }

    /// An external data file of that name, raw or not, with its feature bits.
    #[must_use]
    pub fn data_file(self, name: &[u8], raw: bool) -> Self {
        self.extension(extension::DATA_FILE, name).incompatible(4).autoclear(if raw { 2 } else { 0 })
    }

    /// What the cluster number `index` of the active disk is. Each may be told once.
    #[must_use]
    pub fn cluster(mut self, index: u64, cluster: ClusterSpec) -> Self {
        self.clusters.push((index, cluster));
        self
    }

    /// Lays compressed clusters one behind the other, as QEMU does, so that they share host clusters.
    #[must_use]
    pub fn packed(mut self) -> Self {
        self.order.packed = true;
        self
    }

    /// Has disks share L2 tables that are the same, as a disk and its snapshot do until one is written to.
    #[must_use]
    pub fn share_tables(mut self) -> Self {
        self.order.share_tables = true;
        self
    }

    /// Lays clusters out in another order than the guest's: a different one for each `seed` but 0.
    #[must_use]
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.order.shuffle = seed;
        self
    }

    /// One more snapshot. Its disk is empty unless it says otherwise.
    #[must_use]
    pub fn snapshot(mut self, snapshot: SnapshotSpec) -> Self {
        self.snapshots.push(snapshot);
        self
    }

    /// One more bitmap, and the autoclear bit that makes bitmaps believed.
    #[must_use]
    pub fn bitmap(mut self, bitmap: BitmapSpec) -> Self {
        self.bitmaps.push(bitmap);
        self.autoclear(1)
    }

    /// A LUKS header, and the encryption method that goes with it.
    #[must_use]
    pub fn luks(mut self, luks: LuksSpec) -> Self {
        self.luks = Some(luks);
        self.crypt_method(2)
    }

    /// Bytes that are put over what was built, at an offset from its beginning. Goes past the end if it must.
    #[must_use]
    pub fn patch(mut self, at: u64, bytes: &[u8]) -> Self {
        self.patches.push((at, bytes.to_vec()));
        self
    }

    /// [`patch`](Self::patch) with a big-endian number of 32 bits.
    #[must_use]
    pub fn patch_u32(self, at: u64, value: u32) -> Self {
        self.patch(at, &value.to_be_bytes())
    }

    /// [`patch`](Self::patch) with a big-endian number of 64 bits.
    #[must_use]
    pub fn patch_u64(self, at: u64, value: u64) -> Self {
        self.patch(at, &value.to_be_bytes())
    }

    /// The length of the file, in bytes: cut there, or filled up to there with zeros.
    #[must_use]
    pub fn length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }
}
