//! Decoding fragments of a dispersed subvolume, beside copying as many bytes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stillpoint_shard::disperse::Code;
use stillpoint_testkit::volume::fragment;

/// Bytes decoded at a time: what a reader takes from a shard at once.
const LEN: usize = 256 << 10;

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("disperse");
    group.throughput(Throughput::Bytes(LEN as u64));
    let content: Vec<u8> = (0..LEN as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut out = vec![0; LEN];
    group.bench_function("a copy of the bytes", |bencher| {
        bencher.iter(|| {
            out.copy_from_slice(std::hint::black_box(&content));
            std::hint::black_box(&mut out);
        });
    });
    for (data, redundancy, lost) in
        [(2, 1, &[0][..]), (4, 2, &[]), (4, 2, &[0, 1]), (8, 3, &[0, 4, 7]), (16, 4, &[1, 2, 3, 5])]
    {
        let code = Code::new(data + redundancy, redundancy).expect("a set that Gluster makes");
        let mut bricks: Vec<usize> = (0..code.bricks()).filter(|brick| !lost.contains(brick)).collect();
        bricks.truncate(data);
        let fragments: Vec<_> = bricks.iter().map(|&brick| fragment(data, brick, &content)).collect();
        let fragments: Vec<&[u8]> = fragments.iter().map(Vec::as_slice).collect();
        let decoder = code.decoder(&bricks).expect("enough bricks");
        decoder.decode(&fragments, &mut out);
        assert!(out == content);
        let id = BenchmarkId::new(format!("{data}+{redundancy}"), format!("{} lost", lost.len()));
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                decoder.decode(std::hint::black_box(&fragments), &mut out);
                std::hint::black_box(&mut out);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
