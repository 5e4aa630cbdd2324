//! What an image holds beside its disk, damaged: bits of bitmaps, VM states; and the disk read leniently, which never
//! fails, and is what the strict one reads but where it says that it isn't.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::{
    Chain, ChainOptions, DenyAll, Disk, DiskOptions, Format, LenientDisk, Source, VmState,
};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::plan::Plan;

#[derive(Debug, Arbitrary)]
struct Input {
    plan: Vec<u8>,
    /// Put over the image: where (folded into its length), and what.
    patches: Vec<(u32, u64)>,
    cut: Option<u32>,
}

/// The image at the top, damaged. What it stands on is missing.
fn build(input: &Input) -> Vec<u8> {
    let files = Plan::of(&input.plan).make().files;
    let top = files.into_iter().find(|file| file.name == "0").expect("it is always there");
    let mut bytes = top.bytes;
    for (at, value) in input.patches.iter().take(8) {
        let at = *at as usize % (bytes.len() - 8);
        bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }
    if let Some(length) = input.cut {
        bytes.truncate(length as usize);
    }
    bytes
}

fuzz_target!(|input: Input| {
    let source = Source::new(Arc::new(build(&input)), "image", None);
    let opened = Chain::open_lenient(source, Some(Format::Qcow2), &DenyAll, &ChainOptions::default());
    let Ok((chain, _)) = opened else { return };
    let image = chain.layers()[0].image().expect("it was said to be one");
    for bitmap in image.bitmaps().unwrap_or_default() {
        let Ok(ranges) = image.dirty_ranges(&bitmap) else { continue };
        let mut end = None;
        for range in ranges.take(10_000) {
            let Ok(range) = range else { break };
            // In order, never touching, within the disk.
            assert!(range.len > 0 && end.is_none_or(|end| range.guest.0 > end));
            end = Some(range.guest.0 + range.len);
            assert!(end.is_some_and(|end| end <= image.virtual_size()));
        }
    }
    for snapshot in image.snapshots() {
        let Ok(Some(state)) = VmState::open(&chain, snapshot, &DenyAll, &DiskOptions::default()) else {
            continue;
        };
        assert_eq!(state.len(), snapshot.vm_state_size);
        let _ = state.read_at(0, &mut [0; 4096]);
        let _ = state.next_extent(state.len() - 1);
    }
    // A data file that isn't there is unknown to both.
    let open = || Disk::open_lenient(&chain, None, &DenyAll, &DiskOptions::default());
    let Ok((strict, _)) = open() else { return };
    let disk = LenientDisk::new(&chain, open().expect("it was opened before").0);
    // A damaged header may tell of a large disk: its beginning is enough.
    let len = disk.len().min(1 << 18);
    let mut bytes = vec![0xee; usize::try_from(len).expect("it is short")];
    disk.read_exact_at(0, &mut bytes).expect("it never fails");
    let report = disk.skipped();
    let mut sector = [0; 512];
    // Not all of them: a large compressed cluster is decoded anew for each.
    for at in (0..len).step_by(8 * 512) {
        let skipped = report.parts.iter().any(|part| at.wrapping_sub(part.guest.0) < part.len);
        match strict.read_exact_at(at, &mut sector) {
            Ok(()) => assert!(skipped || bytes[at as usize..][..512] == sector),
            Err(_) => assert!(skipped),
        }
    }
});
