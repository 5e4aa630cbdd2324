//! One image of a plan.

use super::super::{BitmapSpec, ClusterSpec, ImageBuilder, SnapshotSpec};
use super::choices::Choices;
use super::disk::{Cluster, PlannedDisk};

/// How an image is made, and what happened to its disk.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    v2: bool,
    cluster_bits: u32,
    extended: bool,
    refcount_order: u32,
    zstd: bool,
    /// Whether there is an external data file and, if so, whether it is raw.
    pub(super) data_file: Option<bool>,
    packed: bool,
    share_tables: bool,
    shuffle: u64,
    short_header: bool,
    lazy_refcounts: bool,
    pub(super) disk: PlannedDisk,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) bitmaps: Vec<(u32, Vec<u64>)>,
}

/// A snapshot of a plan.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) disk: PlannedDisk,
    /// Whether the table tells the disk's size.
    pub(super) tells_size: bool,
    pub(super) vm_state: Vec<u8>,
    unknown_extra: usize,
}

impl Layer {
    /// A layer as `choices` have it. One that has nothing below it may have a raw data file.
    pub(super) fn choose(choices: &mut Choices<'_>, lowest: bool) -> Self {
        let v2 = choices.rarely(6);
        let extended = !v2 && choices.rarely(3);
        let huge = choices.rarely(24);
        let cluster_bits = match (extended, huge) {
            (_, true) => 17 + choices.below(5),
            (true, _) => 14 + choices.below(3),
            (false, _) => 9 + choices.below(8),
        };
        let cluster_bits = u32::try_from(cluster_bits).expect("at most 21");
        let data_file = (!v2 && choices.rarely(5)).then(|| lowest && choices.flag());
        let mut layer = Self {
            v2,
            cluster_bits,
            extended,
            refcount_order: if v2 { 4 } else { choices.one_of(&[4, 0, 1, 2, 3, 5, 6]) },
            zstd: !v2 && choices.flag(),
            data_file,
            packed: choices.flag(),
            share_tables: choices.flag(),
            shuffle: choices.below(256),
            short_header: choices.rarely(4),
            lazy_refcounts: choices.rarely(4),
            disk: PlannedDisk::default(),
            snapshots: Vec::new(),
            bitmaps: Vec::new(),
        };
        layer.disk.size = layer.choose_size(choices);
        layer.happen(choices);
        if !v2 && choices.rarely(3) {
            layer.choose_bitmaps(choices);
        }
        layer
    }

    fn cluster_size(&self) -> usize {
        1 << self.cluster_bits
    }

    fn choose_size(&self, choices: &mut Choices<'_>) -> u64 {
        let most_sectors = (40_u64 << self.cluster_bits).min(2 << 20).max(3 << self.cluster_bits) / 512;
        512 * (1 + choices.below(most_sectors.min(65536)))
    }

    /// Writes, zeroes, discards, snapshots and resizes, as long as there are choices, 60 at most.
    fn happen(&mut self, choices: &mut Choices<'_>) {
        for label in 0..60 {
            if choices.is_empty() {
                break;
            }
            let clusters = self.disk.size.div_ceil(1 << self.cluster_bits);
            let index = choices.below(clusters.min(65536));
            match choices.below(16) {
                0 | 1 => drop(self.disk.clusters.remove(&index)),
                2 if self.data_file.is_none() && self.snapshots.len() < 4 => self.snapshot(choices),
                3 => self.resize(choices),
                kind => {
                    let cluster = self.write(choices, kind, label);
                    self.disk.clusters.insert(index, cluster);
                }
            }
        }
    }

    fn resize(&mut self, choices: &mut Choices<'_>) {
        // A raw data file is as long as the disk; an old snapshot's disk has the size that the image has.
        if self.data_file.is_none() && self.snapshots.iter().all(|snapshot| snapshot.tells_size) {
            self.disk.size = self.choose_size(choices);
            let clusters = self.disk.size.div_ceil(1 << self.cluster_bits);
            self.disk.clusters.retain(|index, _| *index < clusters);
        }
    }

    fn snapshot(&mut self, choices: &mut Choices<'_>) {
        // Sharing takes refcounts that can tell it.
        if self.refcount_order < 3 {
            return;
        }
        let vm_state = usize::try_from(choices.below(3 << self.cluster_bits.min(13))).expect("it is short");
        let vm_state = if choices.flag() { vm_state } else { 0 };
        self.snapshots.push(Snapshot {
            disk: self.disk.clone(),
            tells_size: !self.v2 || choices.flag(),
            vm_state: (0..vm_state).map(|i| (i / 3) as u8).collect(),
            unknown_extra: if choices.rarely(3) { 9 } else { 0 },
        });
    }

    /// A cluster that is written, the one of `label`.
    fn write(&self, choices: &mut Choices<'_>, kind: u64, label: u64) -> Cluster {
        let len = self.cluster_size();
        let fill = u8::try_from(choices.below(255)).expect("below 255") + 1;
        // Bytes that differ from place to place, so that none can be mistaken for another.
        let bytes: Vec<u8> = (0..len).map(|i| fill.wrapping_add((i / 64) as u8)).collect();
        let zeros = || vec![Some(vec![0; len])];
        let with_place = |bytes: Vec<u8>| if self.data_file == Some(true) { vec![0; len] } else { bytes };
        let (spec, parts) = match kind {
            4 if self.v2 => return self.write(choices, 15, label),
            4 => (ClusterSpec::Zero, zeros()),
            5 if self.v2 => return self.write(choices, 14, label),
            5 => (ClusterSpec::ZeroAllocated(with_place(bytes)), zeros()),
            6..=8 if self.data_file.is_none() => (self.compress(&bytes), vec![Some(bytes)]),
            9..=11 if self.extended => {
                let (zero, allocated) = (choices.bits32(), choices.bits32());
                let allocated = allocated & !zero;
                let part = |i: usize| match (allocated >> i & 1, zero >> i & 1) {
                    (1, _) => Some(bytes[i * len / 32..(i + 1) * len / 32].to_vec()),
                    (_, 1) => Some(vec![0; len / 32]),
                    _ => None,
                };
                let parts = (0..32).map(part).collect();
                (ClusterSpec::Subclusters { bytes, allocated, zero }, parts)
            }
            _ => (ClusterSpec::Data(bytes.clone()), vec![Some(bytes)]),
        };
        Cluster { spec: ClusterSpec::shared(label, spec), parts }
    }

    fn compress(&self, bytes: &[u8]) -> ClusterSpec {
        if self.zstd { ClusterSpec::zstd(bytes) } else { ClusterSpec::deflated(bytes) }
    }

    fn choose_bitmaps(&mut self, choices: &mut Choices<'_>) {
        for _ in 0..1 + choices.below(3) {
            let granularity = 9 + u32::try_from(choices.below(12)).expect("it is small");
            let there = self.disk.size.div_ceil(1 << granularity);
            let all = choices.rarely(4);
            let bits = if all {
                (0..there).collect()
            } else {
                let mut bits: Vec<u64> =
                    (0..choices.below(20)).map(|_| choices.below(there.min(65536))).collect();
                bits.sort_unstable();
                bits.dedup();
                bits
            };
            self.bitmaps.push((granularity, bits));
        }
    }

    /// What the guest has of a disk of this image over `below`.
    pub(super) fn bytes(&self, disk: &PlannedDisk, below: &[u8]) -> Vec<u8> {
        disk.bytes(self.cluster_size(), below)
    }

    /// The image, over a backing file of that name and format, with a data file of that name if it has one.
    pub(super) fn builder(&self, backing: Option<(&str, &str)>, data_file: &str) -> ImageBuilder {
        let mut image = if self.v2 { ImageBuilder::v2() } else { ImageBuilder::v3() };
        image = image.cluster_bits(self.cluster_bits).size(self.disk.size).shuffle(self.shuffle);
        if self.packed {
            image = image.packed();
        }
        if self.share_tables && self.refcount_order >= 3 {
            image = image.share_tables();
        }
        if !self.v2 {
            image =
                image.refcount_order(self.refcount_order).incompatible(if self.extended { 16 } else { 0 });
            image = image.compatible(u64::from(self.lazy_refcounts));
            image = match (self.zstd, self.short_header) {
                (false, true) => image.short_header(),
                (zstd, _) => image.compression(u8::from(zstd)),
            };
        }
        if let Some(raw) = self.data_file {
            image = image.data_file(data_file.as_bytes(), raw);
        }
        if let Some((name, format)) = backing {
            image = image.backing(name.as_bytes(), Some(format));
        }
        for (index, spec) in self.disk.specs() {
            image = image.cluster(index, spec);
        }
        for (number, snapshot) in (1..).zip(&self.snapshots) {
            image = image.snapshot(snapshot.spec(number));
        }
        for (number, (granularity, bits)) in self.bitmaps.iter().enumerate() {
            image = image.bitmap(BitmapSpec {
                granularity_bits: u8::try_from(*granularity).expect("it is small"),
                bits: bits.clone(),
                ..BitmapSpec::new(&format!("bitmap{number}"))
            });
        }
        image
    }
}

impl Snapshot {
    fn spec(&self, number: u32) -> SnapshotSpec {
        let mut spec = SnapshotSpec::new(&number.to_string(), &format!("snapshot{number}"));
        spec.clusters = self.disk.specs();
        spec.vm_state.clone_from(&self.vm_state);
        let vm_state = u32::try_from(self.vm_state.len()).expect("it is short");
        spec.vm_state_size = vm_state;
        if self.tells_size {
            spec = spec.extra(u64::from(vm_state), self.disk.size, u64::MAX);
            spec.extra.extend(std::iter::repeat_n(0x5a, self.unknown_extra));
        }
        spec
    }
}
