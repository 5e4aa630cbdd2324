//! Extracting what is no disk, such as a snapshot's VM state.

use std::path::Path;

use stillpoint_storage::{ExtentKind, Storage};

use super::part::Part;
use super::{ExtractError, Extracted, Watch};

/// Bytes that are read and written at a time.
const PIECE: u64 = 1 << 20;

/// Writes all that `storage` holds to a new file at `target`, holes as holes, as [`extract`](super::extract) does with
/// a disk.
///
/// # Errors
/// As [`extract`](super::extract).
pub fn extract_bytes(
    storage: &dyn Storage,
    target: &Path,
    overwrite: bool,
    watch: &Watch<'_>,
) -> Result<Extracted, ExtractError> {
    let size = storage.len();
    let part = Part::create(target, overwrite, size, watch)?;
    part.set_len(size)?;
    let (mut at, mut written) = (0, 0);
    while at < size {
        let failed = |source| ExtractError::Read { offset: at, source };
        let extent = storage.next_extent(at).map_err(failed)?;
        let len = match extent.kind {
            ExtentKind::Hole => extent.len.min(size - at),
            _ => extent.len.min(size - at).min(PIECE),
        };
        if extent.kind != ExtentKind::Hole {
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
            storage.read_exact_at(at, &mut bytes).map_err(failed)?;
            written += part.write_sparse(at, &bytes)?;
        }
        at += len;
        part.reached(at)?;
    }
    part.finish()?;
    Ok(Extracted { size, by_kernel: 0, written, file_size: size })
}
