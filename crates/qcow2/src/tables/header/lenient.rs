//! A header that is read past damage to what no guest data needs.

use std::cell::RefCell;

use stillpoint_storage::Storage;

use super::{Header, HeaderError, check_tables};
use crate::Error;
use crate::raw::RawHeader;
use crate::tables::{ClusterSize, Encryption, Extensions};

impl Header {
    /// As [`read`](Self::read), but goes on past what is damaged and not needed to reach the active disk's data:
    /// extensions, the places of the refcount and the snapshot table, the width of refcounts. Tells what was.
    ///
    /// The raw header has nothing then in the place of what can't be believed.
    pub(crate) fn read_lenient<S: Storage + ?Sized>(
        storage: &S,
    ) -> Result<(Self, Extensions, Vec<Error>), Error> {
        let damage = RefCell::new(Vec::new());
        let note = |error| damage.borrow_mut().push(error);
        let check = |raw: &mut RawHeader, cluster_size| {
            let Err(error) = check_tables(raw, cluster_size) else { return Ok(()) };
            without_refcounts(raw, cluster_size);
            if let Err(other) = check_tables(raw, cluster_size) {
                (raw.nb_snapshots, raw.snapshots_offset) = (0, 0);
                check_tables(raw, cluster_size)?;
                if other != error {
                    note(other.into());
                }
            }
            note(error.into());
            Ok::<_, HeaderError>(())
        };
        let mut go_on = |error| {
            note(error);
            Ok(())
        };
        let (header, extensions) = Self::read_with(storage, check, &mut go_on)?;
        let mut damage = damage.into_inner();
        if header.encryption() == Encryption::Luks && extensions.luks().is_none() {
            // Without it no data is reached.
            return Err(damage.pop().unwrap_or_else(|| HeaderError::CryptoHeaderMissing.into()));
        }
        Ok((header, extensions, damage))
    }
}

/// Puts the refcount table to a place where it may be.
fn without_refcounts(raw: &mut RawHeader, cluster_size: ClusterSize) {
    (raw.refcount_table_offset, raw.refcount_table_clusters) = (cluster_size.bytes(), 1);
    if let Some(v3) = &mut raw.v3 {
        v3.refcount_order = v3.refcount_order.min(super::MAX_REFCOUNT_ORDER);
    }
}
