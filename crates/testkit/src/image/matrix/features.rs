//! What images are told apart by.

/// Version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compat {
    /// `compat=0.10`.
    V2,
    /// `compat=1.1`.
    V3,
}

/// Where guest data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataFile {
    /// In the image.
    None,
    /// In another file, in any order.
    Cooked,
    /// In another file, where the guest has it.
    Raw,
}

/// What was allocated before anything was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preallocation {
    /// Nothing.
    Off,
    /// All tables.
    Metadata,
    /// All tables, and space in the file.
    Falloc,
    /// All tables, and zeros in the file.
    Full,
}

impl Preallocation {
    /// As `-o preallocation` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Metadata => "metadata",
            Self::Falloc => "falloc",
            Self::Full => "full",
        }
    }
}

/// How guest data is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// Not at all.
    None,
    /// The old way, AES-CBC.
    Aes,
    /// LUKS with QEMU's defaults: AES-256 in XTS mode, SHA-256.
    Luks,
    /// LUKS with AES-256 in CBC mode, ESSIV with SHA-256, SHA-1 for the key slots.
    LuksEssiv,
}

/// What the image stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backing {
    /// Nothing.
    None,
    /// A raw disk with holes.
    Raw,
    /// A qcow2 image.
    Qcow2,
    /// A qcow2 image that stands on a raw disk.
    Chain,
}

/// What an image was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Version.
    pub compat: Compat,
    /// Clusters of `1 << cluster_bits` bytes.
    pub cluster_bits: u32,
    /// Width of a refcount.
    pub refcount_bits: u32,
    /// Extended L2 entries.
    pub extended_l2: bool,
    /// Lazy refcounts.
    pub lazy_refcounts: bool,
    /// Whether compression is zstd.
    pub zstd: bool,
    /// Whether some clusters are compressed.
    pub compressed: bool,
    /// Where guest data is.
    pub data_file: DataFile,
    /// What was allocated at first.
    pub preallocation: Preallocation,
    /// How guest data is encrypted.
    pub encryption: Encryption,
    /// What it stands on.
    pub backing: Backing,
    /// Size of the backing file's disk, in bytes. The lowest one of a chain is half as long.
    pub backing_size: u64,
    /// How many internal snapshots it has.
    pub snapshots: u32,
    /// How many bitmaps it has.
    pub bitmaps: u32,
    /// Size of its disk when it was made, in bytes.
    pub size: u64,
    /// What it was resized to in the end, if it was.
    pub resized: Option<u64>,
}

impl Features {
    /// What it is called: a number and what sets it apart.
    pub(super) fn name(&self, number: u64) -> String {
        let version = if self.compat == Compat::V2 { "v2" } else { "v3" };
        let mut name = format!("{number:03}-{version}-c{}", self.cluster_bits);
        let mut tell = |when: bool, what: &str| {
            if when {
                name.push('-');
                name.push_str(what);
            }
        };
        tell(self.refcount_bits != 16, &format!("rc{}", self.refcount_bits));
        tell(self.extended_l2, "ext");
        tell(self.lazy_refcounts, "lazy");
        tell(self.compressed || self.zstd, if self.zstd { "zstd" } else { "zlib" });
        match self.data_file {
            DataFile::None => {}
            DataFile::Cooked => tell(true, "data"),
            DataFile::Raw => tell(true, "dataraw"),
        }
        tell(self.preallocation != Preallocation::Off, self.preallocation.name());
        match self.encryption {
            Encryption::None => {}
            Encryption::Aes => tell(true, "aes"),
            Encryption::Luks => tell(true, "luks"),
            Encryption::LuksEssiv => tell(true, "essiv"),
        }
        match self.backing {
            Backing::None => {}
            Backing::Raw => tell(true, "onraw"),
            Backing::Qcow2 => tell(true, "onqcow2"),
            Backing::Chain => tell(true, "onchain"),
        }
        tell(self.backing != Backing::None && self.backing_size < self.size, "shorter");
        tell(self.backing != Backing::None && self.backing_size > self.size, "longer");
        tell(self.snapshots > 0, &format!("snap{}", self.snapshots));
        tell(self.bitmaps > 0, &format!("bm{}", self.bitmaps));
        tell(self.resized.is_some_and(|size| size > self.size), "grown");
        tell(self.resized.is_some_and(|size| size < self.size), "shrunk");
        name.push_str(".qcow2");
        name
    }
}
