//! Disks are told apart exactly where their bytes differ.

use proptest::prelude::*;
use stillpoint_qcow2::compare::{CompareOptions, Difference, differences};
use stillpoint_qcow2::{DiskOptions, GuestView};
use stillpoint_testkit::image::plan::Plan;

use crate::plans::{Files, plans};

fn views(files: &Files) -> Vec<(GuestView, Vec<u8>)> {
    let chain = files.chain();
    let open = |snapshot| {
        GuestView::open(&chain, snapshot, files, &DiskOptions::default()).expect("it keeps the rules")
    };
    let image = chain.layers()[0].image().expect("it is one");
    let snapshots = image.snapshots().iter().zip(&files.0.snapshots);
    let snapshots = snapshots.map(|(found, made)| (open(Some(found)), made.disk.clone()));
    std::iter::once((open(None), files.0.disk.clone())).chain(snapshots).collect()
}

/// The differences as they are defined, found byte by byte.
fn by_bytes(a: &[u8], b: &[u8]) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    let at = |bytes: &[u8], i: usize| bytes.get(i).copied().unwrap_or(0);
    for i in (0..a.len().max(b.len())).filter(|&i| at(a, i) != at(b, i)) {
        let i = i as u64;
        match found.last_mut() {
            // No whole sector of 512 bytes in between is the same.
            Some(last) if i / 512 <= (last.end() - 1) / 512 + 1 => last.length = i + 1 - last.start,
            _ => found.push(Difference { start: i, length: 1 }),
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn differences_are_where_the_bytes_differ(bytes in plans(), other in plans(), threads in 1_usize..4) {
        let (files, other) = (Files(Plan::of(&bytes).make()), Files(Plan::of(&other).make()));
        let (ours, theirs) = (views(&files), views(&other));
        let options = CompareOptions::default().threads(threads);
        // All disks of an image with its active one, and the active ones of both.
        let pairs = ours.iter().map(|view| (view, &ours[0])).chain([(&ours[0], &theirs[0])]);
        for ((a, a_bytes), (b, b_bytes)) in pairs {
            let found: Result<Vec<_>, _> = differences(a, b, &options).collect();
            let found = found.expect("all can be read");
            prop_assert_eq!(found, by_bytes(a_bytes, b_bytes));
        }
    }
}

/// The disk is compared in windows of 2 MiB: a sector that is partly the same before the edge joins what is on both
/// sides of it, a whole one doesn't.
#[test]
fn differences_go_on_over_the_edge_of_a_window() {
    for (same, expected) in
        [(64, vec![(0x1f_0000, 0x2_0000)]), (512, vec![(0x1f_0000, 0xfe00), (0x20_0000, 0x1_0000)])]
    {
        let image = |byte: u8| {
            let mut before = vec![byte; 65536];
            before[65536 - same..].fill(9);
            let cluster = stillpoint_testkit::image::ClusterSpec::Data;
            let image = stillpoint_testkit::image::ImageBuilder::v3().size(4 << 20);
            let image = image.cluster(31, cluster(before)).cluster(32, cluster(vec![byte; 65536]));
            let mut made = Plan::of(&[]).make();
            made.files[0].bytes = image.build();
            Files(made)
        };
        let (one, other) = (image(1), image(2));
        let view = |files: &Files| {
            GuestView::open(&files.chain(), None, files, &DiskOptions::default()).expect("it keeps the rules")
        };
        let found: Result<Vec<_>, _> =
            differences(&view(&one), &view(&other), &CompareOptions::default()).collect();
        let expected: Vec<_> =
            expected.into_iter().map(|(start, length)| Difference { start, length }).collect();
        assert_eq!(found.expect("all can be read"), expected);
    }
}

/// Two resolvers may know different files by one id: only what the kernel tells apart is known to be the same.
#[test]
fn files_of_one_id_but_other_resolvers_are_compared() {
    let made = |byte: u8| {
        let cluster = stillpoint_testkit::image::ClusterSpec::Data(vec![byte; 65536]);
        let bytes = stillpoint_testkit::image::ImageBuilder::v3().cluster(0, cluster).build();
        let mut made = Plan::of(&[]).make();
        made.files[0].bytes = bytes;
        Files(made)
    };
    let (one, other) = (made(1), made(2));
    let view = |files: &Files| {
        let chain = files.chain();
        GuestView::open(&chain, None, files, &DiskOptions::default()).expect("it keeps the rules")
    };
    let (a, b) = (view(&one), view(&other));
    let found: Result<Vec<_>, _> = differences(&a, &b, &CompareOptions::default()).collect();
    assert_eq!(found.expect("all can be read"), [Difference { start: 0, length: 65536 }]);
}
