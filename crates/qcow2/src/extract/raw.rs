//! Extracting to a raw file.

use std::sync::atomic::{AtomicU64, Ordering};

use stillpoint_storage::ExtentKind;

use super::copy::Copier;
use super::part::Part;
use super::{ExtractError, ExtractOptions, Extracted};
use crate::{GuestView, ScanOptions};

pub(super) fn fill(
    view: &GuestView,
    part: &Part<'_>,
    options: &ExtractOptions,
) -> Result<Extracted, ExtractError> {
    let total = view.size();
    part.set_len(total)?;
    let mut copier = Copier::new(part)?;
    let written = AtomicU64::new(0);
    view.disk().scan_rest(
        &ScanOptions::default().threads(options.threads),
        &mut |plain| match plain.storage.as_file() {
            Some(file) if copier.is_worth_it(plain.host, plain.guest, plain.len) => {
                let mut at = plain.host;
                while at < plain.host + plain.len {
                    let rest = plain.host + plain.len - at;
                    let extent = copier.extent(plain.storage, at, rest)?;
                    if extent.kind != ExtentKind::Hole {
                        copier.copy(file, at, plain.guest + (at - plain.host), extent.len)?;
                    }
                    at += extent.len;
                }
                Ok(true)
            }
            _ => Ok(false),
        },
        &mut |done| part.reached(done),
        |guest, bytes| {
            written.fetch_add(part.write_sparse(guest, bytes)?, Ordering::Relaxed);
            Ok::<_, ExtractError>(())
        },
    )?;
    copier.flush()?;
    let written = written.into_inner() + copier.by_us;
    Ok(Extracted { size: total, by_kernel: copier.by_kernel(), written, file_size: total })
}
