//! Clusters of persistent bitmaps (specification, section "Bitmaps").

use stillpoint_storage::Storage;

use super::counts::Counts;
use super::finding::Structure;
use super::report::{Failure, Tally};
use super::roots::Roots;
use super::spans::{Span, sweep};
use super::subject::Subject;
use crate::Error;
use crate::tables::{Bitmap, BitmapFlags, read_bitmaps};

/// Bits 1 to 8 and 56 to 63 of an entry of a bitmap's table must be zero.
const RESERVED: u64 = 0xff00_0000_0000_01fe;
/// Bits 9 to 55: where a cluster of bits begins.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// Bit 0, without a cluster: the bits are ones.
const ALL_ONES: u64 = 1;

/// Reads the bitmap directory. Fails as opening the image would.
pub(super) fn directory<S: Storage + ?Sized>(subject: &Subject<'_, S>) -> Result<Vec<Bitmap>, Error> {
    match subject.extensions.bitmaps() {
        Some(place) => read_bitmaps(subject.storage, &subject.header, place),
        None => Ok(Vec::new()),
    }
}

/// Counts the directory, the bitmaps' tables and their bits.
///
/// # Errors
/// Where a table's entry breaks a rule: QEMU gives up there, and so does a check, since what the table would have
/// counted is not known.
pub(super) fn count<S: Storage + ?Sized>(
    subject: &Subject<'_, S>,
    bitmaps: &[Bitmap],
    counts: &mut Counts,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let Some(place) = subject.extensions.bitmaps() else { return Ok(()) };
    let roots = Roots::new(subject);
    roots.add(counts, Structure::BitmapDirectory, place.directory_offset, place.directory_size, tally);
    let mut walked = 0_u64;
    for (number, bitmap) in (0..).zip(bitmaps) {
        let (offset, len) = (bitmap.table.offset.0, u64::from(bitmap.table.entries) * 8);
        roots.add(counts, Structure::BitmapTable(number), offset, len, tally);
        walked = walked.saturating_add(len.min(subject.file_len.saturating_sub(offset)));
        if walked > subject.file_len {
            // Each word of the file is in one table at most, or tables lie one over the other.
            return Err(Failure::OverlappingBitmaps);
        }
        // One bitmap after the other, as QEMU tells what it finds.
        let span = Span { offset, words: u64::from(bitmap.table.entries), active: false };
        let mut failure = None;
        let mut unreadable = Vec::new();
        sweep(subject, &[span], "a bitmap's table", &mut unreadable, |_, entry, _| {
            let cluster = entry & OFFSET_MASK;
            let sound = entry & RESERVED == 0
                && subject.is_aligned(cluster)
                && (cluster == 0 || entry & ALL_ONES == 0);
            if !sound {
                failure.get_or_insert_with(|| Failure::BitmapTable {
                    name: bitmap.name.clone(),
                    in_use: bitmap.flags.contains(BitmapFlags::IN_USE),
                    entry,
                });
            } else if cluster != 0 && failure.is_none() {
                let structure = Structure::BitmapData(number);
                roots.add(counts, structure, cluster, subject.cluster_size(), tally);
            }
        });
        for finding in unreadable {
            tally.add(finding);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    Ok(())
}
