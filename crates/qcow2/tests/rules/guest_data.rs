//! Guest data: what was written into clusters of every kind is what the disk has.

use std::sync::Arc;

use proptest::prelude::*;
use stillpoint_qcow2::tables::MappingError;
use stillpoint_qcow2::{
    Chain, ChainOptions, DenyAll, Disk, Error, FileId, Format, Reference, ReferenceError, Resolver, Source,
    Target,
};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder, LuksSpec, SnapshotSpec, offset};

/// Layers by number: layer `i` names `i + 1`.
struct Layers(Vec<Vec<u8>>);

impl Layers {
    fn source(&self, index: usize) -> Source {
        let bytes: Arc<dyn Storage> = Arc::new(self.0[index].clone());
        Source::new(bytes, index.to_string(), Some(FileId::Other(index.to_be_bytes().to_vec())))
    }

    fn disk(&self) -> Result<Disk, Error> {
        let chain = Chain::open(self.source(0), Some(Format::Qcow2), self, &ChainOptions::default())?;
        Disk::open(&chain, self)
    }
}

impl Resolver for Layers {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let Target::File { path, .. } = &reference.target else { unreachable!("they name files") };
        Ok(self.source(path.to_text().parse().expect("they name numbers")))
    }
}

fn read_all(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0xee; usize::try_from(disk.len()).expect("it is short")];
    disk.read_exact_at(0, &mut bytes).expect("it can be read");
    bytes
}

/// What a cluster is to be, in a few bits.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Unallocated,
    Data,
    Zero,
    ZeroAllocated,
    Compressed,
    Subclusters(u32, u32),
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Unallocated),
        Just(Kind::Data),
        Just(Kind::Zero),
        Just(Kind::ZeroAllocated),
        Just(Kind::Compressed),
        (any::<u32>(), any::<u32>()).prop_map(|(a, z)| Kind::Subclusters(a & !z, z)),
    ]
}

/// A layer: its size in sectors, how it is made, and its clusters.
#[derive(Debug, Clone)]
struct LayerPlan {
    sectors: u64,
    cluster_bits: u32,
    extended: bool,
    zstd: bool,
    clusters: Vec<(Kind, u8)>,
}

fn layer() -> impl Strategy<Value = LayerPlan> {
    let shape = (1_u64..600, any::<bool>(), any::<bool>(), 9_u32..14);
    (shape, prop::collection::vec((kinds(), 1_u8..), 40)).prop_map(|(shape, clusters)| {
        let (sectors, extended, zstd, bits) = shape;
        LayerPlan { sectors, cluster_bits: if extended { 14 } else { bits }, extended, zstd, clusters }
    })
}

impl LayerPlan {
    /// Builds the layer, and puts what it has over `disk`, what is below it.
    fn build(&self, below: Vec<u8>, backing: Option<usize>) -> (Vec<u8>, Vec<u8>) {
        let cluster = 1_usize << self.cluster_bits;
        let size = usize::try_from(self.sectors * 512).expect("it is short");
        let mut disk = below;
        disk.resize(size, 0);
        let mut image = ImageBuilder::v3().cluster_bits(self.cluster_bits).size(size as u64);
        image = image.compression(u8::from(self.zstd)).incompatible(if self.extended { 16 } else { 0 });
        if let Some(backing) = backing {
            image = image.backing(backing.to_string().as_bytes(), Some("qcow2"));
        }
        for (index, (kind, fill)) in self.clusters.iter().enumerate().take_while(|(i, _)| i * cluster < size)
        {
            // Bytes that differ from place to place, so that none can be mistaken for another.
            let bytes: Vec<u8> = (0..cluster).map(|i| fill.wrapping_add((i / 64) as u8)).collect();
            let mut put = |at: usize, bytes: &[u8]| {
                let start = (index * cluster + at).min(size);
                let end = (start + bytes.len()).min(size);
                disk[start..end].copy_from_slice(&bytes[..end - start]);
            };
            match kind {
                Kind::Unallocated => continue,
                Kind::Data | Kind::Compressed => put(0, &bytes),
                Kind::Zero | Kind::ZeroAllocated => put(0, &vec![0; cluster]),
                Kind::Subclusters(..) if !self.extended => put(0, &bytes),
                Kind::Subclusters(allocated, zero) => {
                    let part = cluster / 32;
                    for i in 0..32 {
                        if allocated >> i & 1 == 1 {
                            put(i * part, &bytes[i * part..(i + 1) * part]);
                        } else if zero >> i & 1 == 1 {
                            put(i * part, &vec![0; part]);
                        }
                    }
                }
            }
            image = image.cluster(index as u64, self.spec(*kind, bytes));
        }
        (image.build(), disk)
    }

    fn spec(&self, kind: Kind, bytes: Vec<u8>) -> ClusterSpec {
        match kind {
            Kind::Zero | Kind::Unallocated => ClusterSpec::Zero,
            Kind::ZeroAllocated => ClusterSpec::ZeroAllocated(bytes),
            Kind::Compressed if self.zstd => ClusterSpec::zstd(&bytes),
            Kind::Compressed => ClusterSpec::deflated(&bytes),
            Kind::Subclusters(allocated, zero) if self.extended => {
                ClusterSpec::Subclusters { bytes, allocated, zero }
            }
            Kind::Data | Kind::Subclusters(..) => ClusterSpec::Data(bytes),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_chain_of_clusters_of_every_kind_reads_as_the_model_has_it(
        plans in prop::collection::vec(layer(), 1..4),
        ranges in prop::collection::vec((0_u64..400_000, 1_usize..40_000), 8),
    ) {
        let mut layers = vec![Vec::new(); plans.len()];
        let mut model = Vec::new();
        for (index, plan) in plans.iter().enumerate().rev() {
            let backing = (index + 1 < plans.len()).then_some(index + 1);
            (layers[index], model) = plan.build(model, backing);
        }
        let disk = Layers(layers).disk().expect("it keeps the rules");
        prop_assert_eq!(disk.len(), model.len() as u64);
        prop_assert_eq!(&read_all(&disk), &model);
        for (offset, len) in ranges {
            let mut buf = vec![0xee; len];
            let n = disk.read_at(offset, &mut buf).expect("it can be read");
            let start = usize::try_from(offset).expect("it is short").min(model.len());
            let expected = &model[start..(start + len).min(model.len())];
            prop_assert_eq!(&buf[..n], expected);
        }
        let mut at = 0;
        for extent in extents(&disk) {
            let extent = extent.expect("it can be told");
            prop_assert_eq!(extent.offset, at);
            at = extent.end();
            let part = &model[usize::try_from(extent.offset).expect("short")..usize::try_from(at).expect("short")];
            prop_assert!(extent.kind == ExtentKind::Data || part.iter().all(|&byte| byte == 0));
        }
        prop_assert_eq!(at, model.len() as u64);
    }
}

#[test]
fn a_snapshot_has_its_own_disk_of_its_own_size() {
    let fill = |value: u8| ClusterSpec::Data(vec![value; 4096]);
    let mut snapshot = SnapshotSpec::new("1", "before").extra(0, 8192, u64::MAX);
    snapshot.clusters = vec![(0, fill(1)), (1, ClusterSpec::Zero)];
    let image = ImageBuilder::v3().cluster_bits(12).size(16384).cluster(0, fill(2)).cluster(3, fill(3));
    let layers = Layers(vec![image.snapshot(snapshot).build()]);
    let chain =
        Chain::open(layers.source(0), None, &DenyAll, &ChainOptions::default()).expect("it is one image");
    let active = read_all(&Disk::open(&chain, &DenyAll).expect("it keeps the rules"));
    assert_eq!(active, [vec![2; 4096], vec![0; 8192], vec![3; 4096]].concat());
    let found =
        chain.layers()[0].image().and_then(|image| image.snapshot("before")).expect("it is there").clone();
    let before = Disk::open_snapshot(&chain, &found, &DenyAll).expect("it keeps the rules");
    assert_eq!(read_all(&before), [vec![1; 4096], vec![0; 4096]].concat());
}

#[test]
fn guest_data_is_read_from_the_external_data_file_through_the_resolver() {
    // The entry says 0 with the copied bit: the first cluster of the data file.
    let image = ImageBuilder::v3().cluster_bits(12).size(8192).data_file(b"1", false);
    let image = image.cluster(0, ClusterSpec::Data(Vec::new()));
    let mut bytes = image.build();
    let l1 = u64::from_be_bytes(bytes[40..48].try_into().expect("eight bytes"));
    let at = usize::try_from(l1).expect("it is short");
    let l2 = u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes")) & 0x00ff_ffff_ffff_fe00;
    let at = usize::try_from(l2).expect("it is short");
    bytes[at..at + 8].copy_from_slice(&(1_u64 << 63).to_be_bytes());
    bytes[at + 8..at + 16].copy_from_slice(&(1_u64 << 63 | 4096).to_be_bytes());
    let layers = Layers(vec![bytes, [vec![1; 4096], vec![2; 4096]].concat()]);
    assert_eq!(
        read_all(&layers.disk().expect("it keeps the rules")),
        [vec![1; 4096], vec![2; 4096]].concat()
    );
    let chain =
        Chain::open(layers.source(0), None, &DenyAll, &ChainOptions::default()).expect("it is one image");
    let denied = Disk::open(&chain, &DenyAll);
    assert!(matches!(denied, Err(Error::Reference(ReferenceError::Denied { .. }))));
}

#[test]
fn what_cannot_be_read_rightly_is_refused_by_name() {
    let open = |image: Vec<u8>| Layers(vec![image]).disk();
    let encrypted = ImageBuilder::v3().luks(LuksSpec::default()).build();
    assert!(matches!(open(encrypted), Err(Error::Encrypted(_))));
    assert!(matches!(open(ImageBuilder::v3().crypt_method(1).build()), Err(Error::Encrypted(_))));
    assert!(matches!(open(ImageBuilder::v3().incompatible(4).build()), Err(Error::NoDataFile)));
    let far = ImageBuilder::v3().patch_u64(offset::L1_OFFSET, 1 << 40).build();
    assert!(matches!(open(far), Err(Error::Mapping(MappingError::L1PastTheEnd { .. }))));
}

/// An image of one data cluster, whose L2 entry and the second half of it are set to what is given.
fn with_entry(extended: bool, entry: u64, bits: u64) -> Result<Vec<u8>, String> {
    let cluster_bits = if extended { 14 } else { 12 };
    let image = ImageBuilder::v3().cluster_bits(cluster_bits).size(1 << cluster_bits);
    let image = image.incompatible(if extended { 16 } else { 0 });
    // The first cluster is the header's, the second the data, the third the L2 table.
    let mut bytes = image.cluster(0, ClusterSpec::Data(vec![7; 1 << cluster_bits])).build();
    let at = 2 << cluster_bits;
    bytes[at..at + 8].copy_from_slice(&entry.to_be_bytes());
    bytes[at + 8..at + 16].copy_from_slice(&bits.to_be_bytes());
    let disk = Layers(vec![bytes]).disk().expect("the L1 table is sound");
    let mut buf = vec![0; 1 << cluster_bits];
    disk.read_exact_at(0, &mut buf).map(|()| buf).map_err(|error| error.to_string())
}

#[test]
fn entries_that_break_a_rule_are_errors_that_say_which() {
    assert_eq!(with_entry(false, 1 << 63 | 0x1000, 0), Ok(vec![7; 4096]));
    for (extended, entry, bits, text) in [
        (false, 1 << 63 | 0x1200, 0, "no cluster begins"),
        (false, 1 << 63 | 1 << 40, 0, "past the end of the file"),
        (false, 1 << 62 | 1 << 40, 0, "past the end of the file"),
        (false, 1 << 62 | 0x1000, 0, "damaged"),
        (true, 1 << 63 | 0x4000, 1 << 32 | 1, "contradict"),
        (true, 0, 1, "contradict"),
    ] {
        let error = with_entry(extended, entry, bits).expect_err("the entry breaks a rule");
        assert!(error.contains(text), "{entry:#x}: {error}");
    }
}

#[test]
fn an_l2_table_that_is_not_wholly_in_the_file_is_refused() {
    let image = ImageBuilder::v3().cluster_bits(12).size(4096).cluster(0, ClusterSpec::Data(vec![7; 4096]));
    let bytes = image.clone().build();
    let l1 = u64::from_be_bytes(bytes[40..48].try_into().expect("eight bytes"));
    for l2 in [0x1200_u64, 1 << 40, bytes.len() as u64 - 4096 + 512] {
        let layers = Layers(vec![image.clone().patch_u64(l1, l2).build()]);
        let error = layers.disk().expect("the L1 table is sound").read_exact_at(0, &mut [0; 512]);
        assert!(error.expect_err("the table can't be there").to_string().contains("L2 table"), "{l2:#x}");
    }
}

#[test]
fn a_disk_reads_on_as_zeros_where_the_file_ends_in_its_last_cluster() {
    let bytes =
        ImageBuilder::v3().cluster_bits(12).size(4096).cluster(0, ClusterSpec::Data(vec![7; 4096])).build();
    let mut bytes = bytes;
    // Moves the cluster to the end of the file, and cuts it there.
    let end = bytes.len() as u64;
    let at = 2 << 12;
    bytes[at..at + 8].copy_from_slice(&(1 << 63 | end).to_be_bytes());
    bytes.extend([9; 100]);
    let disk = Layers(vec![bytes]).disk().expect("it keeps the rules");
    assert_eq!(read_all(&disk), [vec![9; 100], vec![0; 3996]].concat());
}
