//! From an image to what is told of it.

use std::time::Duration;

use stillpoint_storage::Storage;

use super::model::{ChildInfo, ImageInfo, SnapshotInfo};
use super::specific::{
    BitmapFlag, BitmapInfo, EncryptionInfo, FileInfo, FormatSpecific, LuksInfo, LuksSlotInfo, Qcow2Info,
};
use crate::raw::{Autoclear, Compatible, Incompatible};
use crate::tables::{Bitmap, BitmapFlags, Encryption, LuksHeader, Snapshot, Version};
use crate::views::{Format, Layer, detect, full_name, whole_sectors};
use crate::{Chain, Error, Image, Name};

/// How an image is looked at.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct InfoOptions {
    /// Its format; without it, it is found out by the first bytes (`-f` of qemu-img's).
    pub format: Option<Format>,
}

impl InfoOptions {
    /// Sets the format.
    #[must_use]
    pub const fn format(mut self, format: Option<Format>) -> Self {
        self.format = format;
        self
    }
}

/// QEMU keeps so many bytes of a snapshot's id, and of its name.
const SNAPSHOT_ID_LEN: usize = 127;
const SNAPSHOT_NAME_LEN: usize = 255;

impl ImageInfo {
    /// Looks at the file that `storage` holds and at nothing else. `filename` is its name as it is to be shown;
    /// relative names in the image are put behind its directory.
    ///
    /// # Errors
    /// When it is in a format that isn't read here, or breaks its rules.
    pub fn gather<S: Storage + ?Sized>(
        storage: &S,
        filename: &Name,
        options: &InfoOptions,
    ) -> Result<Self, Error> {
        let format = match options.format {
            Some(format) => format,
            None => detect(storage)?,
        };
        match format {
            Format::Qcow2 => Self::of_image(&Image::open(storage)?, filename),
            Format::Raw => Ok(Self::of_raw(storage, filename)),
        }
    }

    /// The facts of each layer of a chain, the image itself first.
    ///
    /// # Errors
    /// When the bitmaps of a layer break a rule.
    pub fn of_chain(chain: &Chain) -> Result<Vec<Self>, Error> {
        chain.layers().iter().map(Self::of_layer).collect()
    }

    fn of_layer(layer: &Layer) -> Result<Self, Error> {
        let source = layer.source();
        match layer.image() {
            Some(image) => Self::of_image(image, &source.name),
            None => Ok(Self::of_raw(&source.storage, &source.name)),
        }
    }

    /// The facts of a raw disk.
    pub fn of_raw<S: Storage + ?Sized>(storage: &S, filename: &Name) -> Self {
        Self { format: Format::Raw.name().into(), ..Self::around(storage, filename) }
    }

    /// The facts of an image that is open.
    ///
    /// # Errors
    /// When its bitmap directory breaks a rule or can't be read.
    pub fn of_image<S: Storage>(image: &Image<S>, filename: &Name) -> Result<Self, Error> {
        let header = image.header();
        // QEMU has none in an image with a data file, whatever the table says.
        let snapshots = image.snapshots().iter().filter(|_| !image.has_data_file());
        let snapshots: Vec<_> = snapshots.map(SnapshotInfo::from).collect();
        let backing = header.backing().map(|backing| Name::from_c(backing.stored.as_bytes()));
        let backing = backing.filter(|name| !name.is_empty());
        let format = image.extensions().backing_format().filter(|format| !format.is_empty());
        Ok(Self {
            format: Format::Qcow2.name().into(),
            virtual_size: image.virtual_size(),
            cluster_size: Some(header.cluster_size().bytes()),
            snapshots: Some(snapshots).filter(|snapshots| !snapshots.is_empty()),
            format_specific: Some(FormatSpecific::Qcow2(Box::new(qcow2(image)?))),
            backing_filename_format: format.filter(|_| backing.is_some()).map(Name::to_text),
            full_backing_filename: backing
                .as_ref()
                .and_then(|name| full_name(filename, name))
                .map(|name| name.to_text()),
            backing_filename: backing.as_ref().map(Name::to_text),
            encrypted: (header.encryption() != Encryption::None).then_some(true),
            dirty_flag: image.is_dirty(),
            ..Self::around(image.storage(), filename)
        })
    }

    /// What is said of any image: its file as a child, and that file's sizes as its own.
    fn around<S: Storage + ?Sized>(storage: &S, filename: &Name) -> Self {
        let file = Self {
            backing_image: None,
            compressed: None,
            children: Vec::new(),
            backing_filename_format: None,
            snapshots: None,
            virtual_size: whole_sectors(storage.len()),
            filename: filename.to_text(),
            cluster_size: None,
            format: "file".into(),
            actual_size: storage.allocated(),
            format_specific: None,
            full_backing_filename: None,
            encrypted: None,
            backing_filename: None,
            dirty_flag: false,
        };
        let info = Self { format_specific: Some(FormatSpecific::File(FileInfo::default())), ..file.clone() };
        Self { children: vec![ChildInfo { name: "file".into(), info }], ..file }
    }
}

fn qcow2<S: Storage>(image: &Image<S>) -> Result<Qcow2Info, Error> {
    let header = image.header();
    let v3 = header.version() == Version::V3;
    let incompatible = header.incompatible();
    let bitmaps: Vec<_> = image.bitmaps()?.iter().map(bitmap).collect();
    let encrypt = match header.encryption() {
        Encryption::None => None,
        Encryption::Aes => Some(EncryptionInfo::Other { format: "aes".into() }),
        Encryption::Luks => image.luks().map(|luks| EncryptionInfo::Luks(Box::new(self::luks(luks)))),
    };
    Ok(Qcow2Info {
        compat: header.version().compat().into(),
        compression_type: Some(header.compression().to_string()),
        lazy_refcounts: v3.then(|| header.compatible().contains(Compatible::LAZY_REFCOUNTS)),
        bitmaps: Some(bitmaps).filter(|bitmaps| v3 && !bitmaps.is_empty()),
        refcount_bits: header.refcount_bits(),
        data_file: image.extensions().data_file().filter(|_| v3).map(Name::to_text),
        encrypt,
        data_file_raw: incompatible
            .contains(Incompatible::DATA_FILE)
            .then(|| header.autoclear().contains(Autoclear::DATA_FILE_RAW)),
        corrupt: v3.then(|| incompatible.contains(Incompatible::CORRUPT)),
        extended_l2: v3.then(|| incompatible.contains(Incompatible::EXTENDED_L2)),
    })
}

impl From<&Snapshot> for SnapshotInfo {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            icount: snapshot.icount.map(u64::cast_signed),
            vm_clock_nsec: u64::from(snapshot.vm_clock.subsec_nanos()),
            name: c_text(&snapshot.name, SNAPSHOT_NAME_LEN),
            date_sec: u64::from(snapshot.date_sec),
            date_nsec: u64::from(snapshot.date_nsec),
            vm_clock_sec: Duration::as_secs(&snapshot.vm_clock),
            id: c_text(&snapshot.id, SNAPSHOT_ID_LEN),
            vm_state_size: snapshot.vm_state_size.cast_signed(),
        }
    }
}

/// A text as QEMU has it in a C string of at most `len` bytes.
fn c_text(name: &Name, len: usize) -> String {
    let bytes = name.as_bytes();
    Name::from_c(bytes.get(..len).unwrap_or(bytes)).to_text()
}

fn bitmap(bitmap: &Bitmap) -> BitmapInfo {
    let flags = [(BitmapFlags::IN_USE, BitmapFlag::InUse), (BitmapFlags::AUTO, BitmapFlag::Auto)];
    BitmapInfo {
        flags: flags
            .into_iter()
            .filter(|(bit, _)| bitmap.flags.contains(*bit))
            .map(|(_, flag)| flag)
            .collect(),
        name: Name::from_c(bitmap.name.as_bytes()).to_text(),
        granularity: bitmap.granularity,
    }
}

fn luks(luks: &LuksHeader) -> LuksInfo {
    LuksInfo {
        ivgen_alg: luks.ivgen.into(),
        detached_header: Some(false),
        hash_alg: luks.hash.into(),
        cipher_alg: luks.cipher.into(),
        uuid: luks.uuid.to_text(),
        ivgen_hash_alg: luks.ivgen_hash.map(Into::into),
        format: "luks".into(),
        cipher_mode: luks.mode.into(),
        slots: luks
            .slots
            .iter()
            .map(|slot| LuksSlotInfo {
                active: slot.active,
                iters: slot.active.then_some(slot.iterations),
                key_offset: slot.key_offset,
                stripes: slot.active.then_some(slot.stripes),
            })
            .collect(),
        payload_offset: luks.payload_offset,
        master_key_iters: luks.master_key_iterations,
    }
}
