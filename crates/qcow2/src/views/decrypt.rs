//! Encrypted layers: who opens them, and what decrypts their data.

use std::sync::Arc;

use stillpoint_storage::Storage;

use super::Image;
use crate::tables::HostOffset;
use crate::{Error, Name};

/// Bytes of a sector, the unit of encryption (specification, section "Full disk encryption header pointer": LUKS
/// data is encrypted in sectors of 512 bytes).
pub(crate) const SECTOR: u64 = 512;

/// Decrypts guest data of one layer.
///
/// What a sector's initialisation vector is made of is where the sector lies in the file that holds the data, not
/// where it is in the guest's disk.
pub trait SectorCipher: Send + Sync {
    /// Decrypts whole sectors of 512 bytes in place, the first of which begins at `offset` of the file, a multiple
    /// of 512. What is left over of `sectors` at its end is not touched.
    fn decrypt(&self, offset: HostOffset, sectors: &mut [u8]);
}

/// Opens encrypted layers for a [`Disk`](crate::Disk).
pub trait Unlock: Send + Sync {
    /// What decrypts the data of `image`, which is encrypted with LUKS and whose name is `name`.
    ///
    /// # Errors
    /// When there is no key for it.
    fn unlock(&self, image: &Image<Arc<dyn Storage>>, name: &Name) -> Result<Arc<dyn SectorCipher>, Error>;
}
