//! Images made to make a check work long, take memory, or end.

use stillpoint_qcow2::check::{CheckOptions, CheckReport, Failure};
use stillpoint_testkit::image::ImageBuilder;

fn check(image: &[u8]) -> CheckReport {
    CheckReport::gather(image, &CheckOptions::default()).expect("the header is sound")
}

/// A snapshot table of `count` entries whose L1 tables are at `l1` and have `entries` entries each.
fn snapshot_table(count: u32, l1: impl Fn(u32) -> u64, entries: u32) -> Vec<u8> {
    let mut table = Vec::new();
    for number in 0..count {
        table.extend(l1(number).to_be_bytes());
        table.extend(entries.to_be_bytes());
        table.extend([0; 24]);
        table.extend(16_u32.to_be_bytes());
        table.extend([0; 16]);
    }
    table
}

/// An image that goes on with `more` behind its end, and has `count` snapshots told there.
fn with_snapshots(more: &[u8], table: &[u8], count: u32) -> Vec<u8> {
    let mut image = ImageBuilder::v3().cluster_bits(9).size(512).build();
    image.extend(more);
    image.resize(image.len().next_multiple_of(512), 0);
    let at = image.len() as u64;
    image.extend(table);
    image[60..64].copy_from_slice(&count.to_be_bytes());
    image[64..72].copy_from_slice(&at.to_be_bytes());
    image
}

#[test]
fn tables_of_65536_snapshots_over_each_other_are_read_once() {
    // 4 MiB that point to one table of 512 bytes: 65,536 times 524,288 entries, of 64 each.
    let end = ImageBuilder::v3().cluster_bits(9).size(512).build().len() as u64;
    let l2 = end;
    let entry = (1_u64 << 63 | l2).to_be_bytes();
    let mut more = vec![0; 512];
    more[..8].copy_from_slice(&(1_u64 << 63 | end).to_be_bytes());
    more.extend(std::iter::repeat_n(entry, 524_288).flatten());
    let table = snapshot_table(65536, |number| end + 512 + u64::from(number % 64) * 512, 524_288);
    let report = check(&with_snapshots(&more, &table, 65536));
    assert!(report.corruptions > 65536, "{}", report.corruptions);
    assert!(report.findings.len() <= 100_000);
    assert_eq!(report.failure, None);
}

#[test]
fn l2_tables_that_lie_over_each_other_are_walked_up_to_a_limit() {
    // Clusters of 64 KiB, and an L2 table at every 512 bytes.
    let mut image = ImageBuilder::v3().size(1 << 42).build();
    image.resize(4 << 20, 0);
    let l1 =
        usize::try_from(u64::from_be_bytes(image[40..48].try_into().expect("8 bytes"))).expect("it is small");
    for number in 1..=5000_usize {
        let entry = (1_u64 << 63 | (number * 512) as u64).to_be_bytes();
        image[l1 + number * 8..l1 + number * 8 + 8].copy_from_slice(&entry);
    }
    let report = check(&image);
    assert_eq!(report.failure, Some(Failure::UnalignedTables));
}

#[test]
fn the_number_of_listed_findings_is_bounded_and_none_goes_uncounted() {
    let mut image = ImageBuilder::v3().build();
    let block = |image: &[u8]| {
        let table = u64::from_be_bytes(image[48..56].try_into().expect("8 bytes"));
        let table = usize::try_from(table).expect("it is small");
        usize::try_from(u64::from_be_bytes(image[table..table + 8].try_into().expect("8 bytes")))
            .expect("it is small")
    };
    let at = block(&image);
    image.resize(image.len() + (1000 << 16), 0);
    image[at + 20..at + 1500].fill(1);
    let all = check(&image);
    assert_eq!((all.leaks, all.unlisted), (740, 0));
    let options = CheckOptions::default().max_findings(10);
    let some = CheckReport::gather(&image, &options).expect("the header is sound");
    assert_eq!((some.leaks, some.findings.len(), some.unlisted), (740, 10, 730));
    assert_eq!(some.findings[..], all.findings[..10]);
}

#[test]
fn a_count_goes_beyond_what_sixteen_bits_hold_where_refcounts_are_wider() {
    // 70,000 entries of an L1 table to one L2 table.
    let mut image = ImageBuilder::v3().refcount_order(5).size(70_000 << 29).build();
    let l1 =
        usize::try_from(u64::from_be_bytes(image[40..48].try_into().expect("8 bytes"))).expect("it is small");
    let l2 = image.len() as u64;
    image.resize(image.len() + 65536, 0);
    for number in 0..70_000 {
        image[l1 + number * 8..l1 + number * 8 + 8].copy_from_slice(&l2.to_be_bytes());
    }
    let lines: Vec<_> = check(&image).qemu_lines().collect();
    let cluster = l2 >> 16;
    assert_eq!(lines, [format!("ERROR cluster {cluster} refcount=0 reference=70000")]);
}
