//! The parts of reading an image's metadata, without the file system.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stillpoint_qcow2::Image;
use stillpoint_qcow2::info::{ImageInfo, InfoOptions};
use stillpoint_testkit::image::{ImageBuilder, SnapshotSpec};

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

criterion_group!(benches, open, info);
criterion_main!(benches);
