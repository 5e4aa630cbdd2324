//! The guest's disk of damaged images: tables and compressed streams that say anything.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Disk, Source};
use stillpoint_storage::{Storage, extents};
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};

#[derive(Debug, Arbitrary)]
struct Plan {
    zstd: bool,
    extended: bool,
    sectors: u8,
    clusters: Vec<(u8, u8, u64)>,
    /// A compressed cluster's stream, as the fuzzer has it.
    stream: Vec<u8>,
    /// Put over the image: where (folded into its length), and what.
    patches: Vec<(u32, u64)>,
    cut: Option<u32>,
}

impl Plan {
    fn build(&self) -> Vec<u8> {
        let bits = if self.extended { 14 } else { 9 };
        let size = 1 << bits;
        let mut image = ImageBuilder::v3().cluster_bits(bits).size(u64::from(self.sectors) * 512);
        image = image.compression(u8::from(self.zstd)).incompatible(if self.extended { 16 } else { 0 });
        let mut taken = [false; 64];
        for (index, kind, bits) in self.clusters.iter().take(20) {
            let index = usize::from(index % 64);
            if std::mem::replace(&mut taken[index], true) {
                continue;
            }
            let bytes: Vec<u8> = (0..size).map(|i| (i / 7) as u8 ^ kind).collect();
            let spec = match kind % 6 {
                0 => ClusterSpec::Data(bytes),
                1 => ClusterSpec::Zero,
                2 => ClusterSpec::ZeroAllocated(bytes),
                3 if self.zstd => ClusterSpec::zstd(&bytes),
                3 => ClusterSpec::deflated(&bytes),
                4 => ClusterSpec::Compressed(self.stream.iter().copied().take(600).collect()),
                _ => ClusterSpec::Subclusters { bytes, allocated: *bits as u32, zero: (*bits >> 32) as u32 },
            };
            // A disk without room for it has no table for it either.
            if index * size < usize::from(self.sectors) * 512 {
                image = image.cluster(index as u64, spec);
            }
        }
        let mut bytes = image.build();
        for (at, value) in self.patches.iter().take(8) {
            let at = *at as usize % (bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
        }
        if let Some(length) = self.cut {
            bytes.truncate(length as usize);
        }
        bytes
    }
}

fuzz_target!(|plan: Plan| {
    let source = Source::new(Arc::new(plan.build()), "image", None);
    let Ok((chain, _)) = Chain::open_readable(source, None, &DenyAll, &ChainOptions::default()) else {
        return;
    };
    let Ok(disk) = Disk::open(&chain, &DenyAll) else { return };
    // A damaged header may tell of a large disk: its beginning is enough.
    let mut buf = vec![0; 8192];
    for at in (0..disk.len().min(1 << 18)).step_by(8192) {
        if let Ok(n) = disk.read_at(at, &mut buf) {
            assert_eq!(n as u64, (disk.len() - at).min(8192));
        }
    }
    let mut at = 0;
    for extent in extents(&disk).take(1000) {
        let Ok(extent) = extent else { break };
        assert_eq!(extent.offset, at);
        at = extent.end();
        assert!(at <= disk.len());
    }
});
