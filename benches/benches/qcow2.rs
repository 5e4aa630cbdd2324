//! The parts of reading an image's metadata, without the file system.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stillpoint_qcow2::Image;
use stillpoint_qcow2::check::{CheckOptions, CheckReport};
use stillpoint_qcow2::info::{ImageInfo, InfoOptions};
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, SnapshotSpec};

fn image_with(snapshots: usize) -> Vec<u8> {
    let mut image = ImageBuilder::v3().size(100 << 30);
    for number in 1..=snapshots {
        image = image.snapshot(SnapshotSpec::new(&number.to_string(), &format!("nightly-{number}")));
    }
    image.build()
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for snapshots in [0, 8, 1000] {
        let bytes = image_with(snapshots);
        group.throughput(Throughput::Elements(snapshots.max(1) as u64));
        group.bench_with_input(BenchmarkId::new("snapshots", snapshots), &bytes, |bencher, bytes| {
            bencher.iter(|| Image::open(bytes.as_slice()).expect("a valid image").snapshots().len());
        });
    }
    group.finish();
}

fn info(criterion: &mut Criterion) {
    let bytes = image_with(8);
    let name = "disk.qcow2".into();
    criterion.bench_function("info/gather and to_json", |bencher| {
        bencher.iter(|| {
            ImageInfo::gather(bytes.as_slice(), &name, &InfoOptions::default())
                .expect("a valid image")
                .to_json()
                .len()
        });
    });
}

/// A disk of 8192 clusters of 512 bytes, every second one stored: 128 L2 tables.
fn half_full() -> Vec<u8> {
    let mut image = ImageBuilder::v3().cluster_bits(9).size(8192 << 9);
    for cluster in (0..8192).step_by(2) {
        image = image.cluster(cluster, ClusterSpec::Data(vec![1; 512]));
    }
    image.build()
}

fn check(criterion: &mut Criterion) {
    let bytes = half_full();
    let mut group = criterion.benchmark_group("check");
    group.throughput(Throughput::Elements(bytes.len() as u64 / 512));
    group.bench_function("clusters of a sound image", |bencher| {
        bencher.iter(|| {
            let report =
                CheckReport::gather(bytes.as_slice(), &CheckOptions::default()).expect("a valid image");
            assert!(report.is_sound());
            report.allocated.clusters
        });
    });
    group.finish();
}

criterion_group!(benches, open, info, check);
criterion_main!(benches);
