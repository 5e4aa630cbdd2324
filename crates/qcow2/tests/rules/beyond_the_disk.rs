//! What an image holds beside its disk: VM states and the bits of bitmaps.

use proptest::prelude::*;
use stillpoint_qcow2::tables::GuestOffset;
use stillpoint_qcow2::{DirtyRange, DiskOptions, Image, VmState};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::plan::Plan;
use stillpoint_testkit::image::{BitmapSpec, ClusterSpec, ImageBuilder, SnapshotSpec};

use super::plans::{Files, difference, plans};

/// The bits as ranges of a disk of `size` bytes.
fn ranges(bits: &[u64], granularity: u64, size: u64) -> Vec<DirtyRange> {
    let mut ranges: Vec<DirtyRange> = Vec::new();
    for bit in bits {
        let guest = bit * granularity;
        let end = (guest + granularity).min(size);
        match ranges.last_mut() {
            Some(last) if last.guest.0 + last.len == guest => last.len = end - last.guest.0,
            _ => ranges.push(DirtyRange { guest: GuestOffset(guest), len: end - guest }),
        }
    }
    ranges
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn vm_states_and_bitmaps_read_back_as_the_model_says(bytes in plans()) {
        let files = Files(Plan::of(&bytes).make());
        let chain = files.chain();
        let image = chain.layers()[0].image().expect("it is one");
        for (found, made) in image.snapshots().iter().zip(&files.0.snapshots) {
            let state = VmState::open(&chain, found, &files, &DiskOptions::default()).expect("it keeps the rules");
            let mut read = vec![0xee; made.vm_state.len()];
            if let Some(state) = &state {
                prop_assert_eq!(state.len(), made.vm_state.len() as u64);
                state.read_exact_at(0, &mut read).expect("it can be read");
            }
            prop_assert_eq!(state.is_some(), !made.vm_state.is_empty());
            prop_assert_eq!(difference(&read, &made.vm_state), None);
        }
        for (found, made) in image.bitmaps().expect("they keep the rules").iter().zip(&files.0.bitmaps) {
            let read: Result<Vec<_>, _> = image.dirty_ranges(found).expect("it is not in use").collect();
            let expected = ranges(&made.bits, made.granularity, image.virtual_size());
            prop_assert_eq!(read.expect("they can be read"), expected);
        }
    }
}

/// One bitmap of 512-byte clusters over two clusters of bits and a part of a third.
fn bitmap(bits: Vec<u64>, flags: u32) -> ImageBuilder {
    let bitmap = BitmapSpec { granularity_bits: 9, bits, flags, ..BitmapSpec::new("dirty") };
    ImageBuilder::v3().cluster_bits(9).size((2 * 4096 + 100) * 512).bitmap(bitmap)
}

fn read(image: &[u8]) -> Result<Vec<DirtyRange>, String> {
    let image = Image::open(image).expect("it keeps the rules");
    let bitmaps = image.bitmaps().expect("they keep the rules");
    let ranges = image.dirty_ranges(&bitmaps[0]).map_err(|error| error.to_string())?;
    ranges.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

#[test]
fn a_range_goes_on_over_clusters_of_bits_of_every_kind() {
    // Ones in the first cluster's last bit, all of the second, which then takes no place, and some of the third.
    let bits: Vec<u64> = (4095..8200).chain([8290, 8291]).collect();
    let size = (2 * 4096 + 100) * 512;
    let found = read(&bitmap(bits.clone(), 2).build()).expect("it keeps the rules");
    assert_eq!(found, ranges(&bits, 512, size));
    assert_eq!(found.len(), 2);
}

#[test]
fn bits_that_cannot_be_believed_are_errors_that_say_why() {
    let in_use = read(&bitmap(vec![1], 3).build());
    assert!(in_use.expect_err("it is in use").contains("\"dirty\" is in use"));
    // Where the table is, the directory's first field says; the directory, the header's extension.
    let image = bitmap(vec![1, 5000], 2).build();
    let word = |at: usize| u64::from_be_bytes(image[at..at + 8].try_into().expect("eight bytes"));
    let extension =
        image.windows(4).position(|bytes| bytes == 0x2385_2875_u32.to_be_bytes()).expect("it is there");
    let directory = usize::try_from(word(extension + 24)).expect("short");
    let table = word(directory);
    let end = image.len() as u64;
    for (entry, text) in [
        (1 << 1, "bits set that must be zero"),
        (1 << 56, "bits set that must be zero"),
        (0x201, "bit 0"),
        (end, "past the end of the file"),
        (1 << 55, "past the end of the file"),
    ] {
        let error =
            read(&bitmap(vec![1, 5000], 2).patch_u64(table + 8, entry).build()).expect_err("it is damaged");
        assert!(error.contains("entry 1") && error.contains(text), "{entry:#x}: {error}");
    }
    let moved = bitmap(vec![1, 5000], 2).patch_u64(directory as u64, end).build();
    assert!(read(&moved).expect_err("it isn't there").contains("goes past the end of the file"));
}

#[test]
fn a_vm_state_that_its_table_has_no_room_for_is_refused() {
    let open = |state_size: u64| {
        let mut snapshot = SnapshotSpec::new("1", "on").extra(state_size, 1 << 20, 0);
        snapshot.clusters = vec![(0, ClusterSpec::Zero)];
        let files = super::plans::Files(stillpoint_testkit::image::plan::Made {
            files: vec![stillpoint_testkit::image::plan::MadeFile {
                name: "0".into(),
                bytes: ImageBuilder::v3().snapshot(snapshot).build(),
            }],
            disk: Vec::new(),
            snapshots: Vec::new(),
            bitmaps: Vec::new(),
        });
        let chain = files.chain();
        let snapshot = chain.layers()[0].image().expect("it is one").snapshots()[0].clone();
        VmState::open(&chain, &snapshot, &files, &DiskOptions::default())
            .map(|state| state.map(|state| state.len()))
    };
    assert_eq!(open(0).expect("there is none"), None);
    for size in [1, 1 << 40, u64::MAX] {
        assert!(open(size).expect_err("there is no room").to_string().contains("L1 table"), "{size}");
    }
}
