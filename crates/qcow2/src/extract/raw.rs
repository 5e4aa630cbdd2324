//! Extracting to a raw file.

use super::copy::Copier;
use super::part::Part;
use super::{ExtractError, ExtractOptions, Extracted, Step, read_disk};
use crate::GuestView;
use crate::parallel::in_parallel;
use crate::windows::Windows;

/// Parts shorter than this are read and written: sharing them costs the file system more than that, and leaves both
/// files in pieces.
const SMALL: u64 = 32 << 10;

pub(super) fn fill(
    view: &GuestView,
    part: &Part,
    options: &ExtractOptions,
    progress: &mut dyn FnMut(Step),
) -> Result<Extracted, ExtractError> {
    let size = view.size();
    part.set_len(size)?;
    let mut copier = Copier::new(part);
    let mut windows = Windows::default();
    let mut written = 0;
    for extent in view.map().extents() {
        let extent = extent?;
        if extent.data && !extent.zero {
            let in_file = view.in_file(&extent).filter(|_| extent.length >= SMALL);
            if let Some((file, from)) = in_file {
                copier.copy(file, from, extent.start, extent.length)?;
            } else {
                let mut at = extent.start;
                while at < extent.end() {
                    at += windows.add(at, extent.end() - at);
                    if windows.is_full() {
                        written += write(view, part, options.threads, windows.take(false))?;
                        progress(Step { done: at, total: size });
                    }
                }
            }
        }
        progress(Step { done: extent.end(), total: size });
    }
    copier.flush()?;
    written += write(view, part, options.threads, windows.take(true))?;
    written += copier.by_us;
    Ok(Extracted { size, by_kernel: copier.by_kernel, written, file_size: size })
}

/// Reads what is no file's bytes as they are, and writes it. Tells how many bytes.
fn write(
    view: &GuestView,
    part: &Part,
    threads: usize,
    windows: Vec<crate::windows::Window>,
) -> Result<u64, ExtractError> {
    let written = in_parallel(&windows, threads, |ranges| {
        let mut written = 0;
        for &(start, len) in ranges {
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
            read_disk(view, start, &mut bytes)?;
            written += part.write_sparse(start, &bytes)?;
        }
        Ok::<_, ExtractError>(written)
    })?;
    Ok(written.iter().sum())
}
