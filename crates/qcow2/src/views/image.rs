//! An image.

use std::fmt;

use stillpoint_storage::Storage;

use crate::Error;
use crate::raw::Incompatible;
use crate::tables::{Bitmap, Extensions, Header, LuksHeader, Snapshot, read_bitmaps, read_snapshots};

/// A qcow2 image: its header, extensions, LUKS header and snapshot table, read and validated when it was opened.
///
/// Opening looks at this one storage only. Nothing that the image names is opened; see
/// [`Chain`](crate::Chain) for that.
pub struct Image<S> {
    storage: S,
    header: Header,
    extensions: Extensions,
    snapshots: Vec<Snapshot>,
}

impl<S> fmt::Debug for Image<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("header", &self.header)
            .field("extensions", &self.extensions)
            .field("snapshots", &self.snapshots)
            .finish_non_exhaustive()
    }
}

impl<S: Storage> Image<S> {
    /// Opens the image that `storage` holds.
    ///
    /// Memory: the snapshot table (64 MiB at most, and never more than the file), the unknown extensions (one
    /// cluster, 2 MiB, at most) and a few KiB.
    ///
    /// # Errors
    /// When a rule of the format or a limit is broken (see [`limits`](crate::tables::limits)), a feature is
    /// not known, or bytes can't be read.
    pub fn open(storage: S) -> Result<Self, Error> {
        match Self::open_readable(storage)? {
            (image, None) => Ok(image),
            (_, Some(error)) => Err(error),
        }
    }

    /// As [`open`](Self::open), but where the snapshot table is damaged gives the image with the snapshots before the
    /// damage, and the error.
    ///
    /// # Errors
    /// As [`open`](Self::open), for header and extensions alone.
    pub fn open_readable(storage: S) -> Result<(Self, Option<Error>), Error> {
        let (header, extensions) = Header::read(&storage)?;
        let mut snapshots = Vec::new();
        let damage = read_snapshots(&storage, header.raw(), &mut snapshots).err();
        Ok((Self { storage, header, extensions, snapshots }, damage))
    }

    /// As [`open`](Self::open), but goes on past what is damaged and not needed to reach the active disk's data, and
    /// tells what was: header extensions, the place of the refcount table and the width of refcounts, and the snapshot
    /// table, of which the snapshots before the damage are there.
    ///
    /// # Errors
    /// When the rest of the header is damaged, the L1 table can't be where it says, or a LUKS header is damaged.
    pub fn open_lenient(storage: S) -> Result<(Self, Vec<Error>), Error> {
        let (header, extensions, mut damage) = Header::read_lenient(&storage)?;
        let mut snapshots = Vec::new();
        damage.extend(read_snapshots(&storage, header.raw(), &mut snapshots).err());
        Ok((Self { storage, header, extensions, snapshots }, damage))
    }

    /// What holds the image's bytes.
    pub const fn storage(&self) -> &S {
        &self.storage
    }

    /// Gives the storage back.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The header extensions.
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The LUKS header, if the image is encrypted with LUKS.
    pub const fn luks(&self) -> Option<&LuksHeader> {
        self.extensions.luks()
    }

    /// The internal snapshots, in the order of their table.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// The snapshot of that id or, if no id is the same, the first of that name: an id wins over a name.
    pub fn snapshot(&self, id_or_name: &str) -> Option<&Snapshot> {
        let wanted = id_or_name.as_bytes();
        let by_id = self.snapshots.iter().find(|snapshot| snapshot.id.as_bytes() == wanted);
        by_id.or_else(|| self.snapshots.iter().find(|snapshot| snapshot.name.as_bytes() == wanted))
    }

    /// The size in bytes that the guest's disk had when `snapshot` was taken, in whole sectors. An old snapshot
    /// doesn't tell it; then it is the size of now, as for QEMU.
    pub fn snapshot_size(&self, snapshot: &Snapshot) -> u64 {
        snapshot.disk_size.map_or_else(|| self.virtual_size(), |size| size & !511)
    }

    /// Reads the bitmap directory. Empty where there is none, or where it can't be believed
    /// ([`Extensions::stale_bitmaps`]).
    ///
    /// # Errors
    /// When the directory breaks a rule or can't be read.
    pub fn bitmaps(&self) -> Result<Vec<Bitmap>, Error> {
        match self.extensions.bitmaps() {
            Some(place) => read_bitmaps(&self.storage, &self.header, place),
            None => Ok(Vec::new()),
        }
    }

    /// The size of the guest's disk in bytes, in whole sectors of 512 bytes as QEMU has it.
    pub const fn virtual_size(&self) -> u64 {
        self.header.virtual_size() & !511
    }

    /// Whether the image was not closed, so that its refcounts may be wrong.
    pub fn is_dirty(&self) -> bool {
        self.header.incompatible().contains(Incompatible::DIRTY)
    }

    /// Whether QEMU marked the image as damaged.
    pub fn is_corrupt(&self) -> bool {
        self.header.incompatible().contains(Incompatible::CORRUPT)
    }

    /// Whether guest data is in an external data file.
    pub fn has_data_file(&self) -> bool {
        self.header.incompatible().contains(Incompatible::DATA_FILE)
    }
}
