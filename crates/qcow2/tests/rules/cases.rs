//! Images at a limit, and one past it.

use stillpoint_testkit::image::{ImageBuilder, SnapshotSpec, extension, offset};

mod bitmaps;
mod luks;

/// What is to become of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expect {
    /// It opens, here and with qemu-img.
    Opens,
    /// It is refused, and qemu-img says this.
    Refused(&'static str),
    /// It is refused here; qemu-img opens it, or refuses it in words that depend on the system.
    RefusedHere,
}

/// One image.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) image: Vec<u8>,
    pub(crate) expect: Expect,
}

use Expect::{Opens, Refused, RefusedHere};

struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, name: &str, builder: &ImageBuilder, expect: Expect) {
        self.0.push(Case { name: name.into(), image: builder.build(), expect });
    }

    /// The 32 bits at `at` set to each value.
    fn u32s(&mut self, name: &str, base: &ImageBuilder, at: u64, values: &[(u32, Expect)]) {
        for (value, expect) in values {
            self.add(&format!("{name} {value:#x}"), &base.clone().patch_u32(at, *value), expect.clone());
        }
    }

    /// The 64 bits at `at` set to each value.
    fn u64s(&mut self, name: &str, base: &ImageBuilder, at: u64, values: &[(u64, Expect)]) {
        for (value, expect) in values {
            self.add(&format!("{name} {value:#x}"), &base.clone().patch_u64(at, *value), expect.clone());
        }
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Cases(Vec::new());
    lengths(&mut cases);
    header(&mut cases);
    tables(&mut cases);
    features(&mut cases);
    backing(&mut cases);
    extensions(&mut cases);
    snapshots(&mut cases);
    bitmaps::add(&mut cases);
    luks::add(&mut cases);
    cases.0
}

fn v3() -> ImageBuilder {
    ImageBuilder::v3()
}

fn lengths(cases: &mut Cases) {
    let short = Refused("qcow2 header too short");
    for (length, expect) in [(4, Refused("Unsupported qcow2 version 0")), (71, short.clone()), (103, short)] {
        cases.add(&format!("a file of {length} bytes"), &v3().length(length), expect);
    }
    for length in [104, 112, 1000] {
        cases.add(&format!("a file of {length} bytes"), &v3().length(length), Opens);
    }
    cases.add("an empty file", &v3().length(0), Refused("Image is not in qcow2 format"));
    cases.add("a file of version 2 with the header only", &ImageBuilder::v2().length(72), Opens);
}

fn header(cases: &mut Cases) {
    let version = [
        (0, Refused("Unsupported qcow2 version 0")),
        (1, Refused("Unsupported qcow2 version 1")),
        (4, Refused("Unsupported qcow2 version 4")),
        (u32::MAX, Refused("Unsupported qcow2 version 4294967295")),
    ];
    cases.u32s("version", &v3(), offset::VERSION, &version);
    for (at, byte) in [(0, b'q'), (3, 0xfa)] {
        let image = v3().patch(at, &[byte]);
        cases.add(&format!("another magic at {at}"), &image, Refused("Image is not in qcow2 format"));
    }
    for (bits, expect) in [
        (8, Refused("Unsupported cluster size: 2^8")),
        (22, Refused("Unsupported cluster size: 2^22")),
        (63, Refused("Unsupported cluster size: 2^63")),
        (u32::MAX, Refused("Unsupported cluster size: 2^4294967295")),
    ] {
        cases.add(&format!("cluster bits {bits}"), &v3().patch_u32(offset::CLUSTER_BITS, bits), expect);
    }
    for bits in [9, 21] {
        cases.add(&format!("cluster bits {bits}"), &v3().cluster_bits(bits).size(1 << 20), Opens);
    }
    let short = Refused("qcow2 header too short");
    let length = [
        (0, short.clone()),
        (72, short.clone()),
        (103, short),
        (104, Opens),
        (112, Opens),
        (120, Opens),
        (65536, Opens),
        (65537, Refused("qcow2 header exceeds cluster size")),
        (u32::MAX, Refused("qcow2 header exceeds cluster size")),
    ];
    cases.u32s("header length", &v3(), offset::HEADER_LENGTH, &length);
    let width = Refused("Reference count entry width too large; may not exceed 64 bits");
    let order = [(0, Opens), (6, Opens), (7, width.clone()), (u32::MAX, width)];
    cases.u32s("refcount order", &v3(), offset::REFCOUNT_ORDER, &order);
    let crypt = [
        (1, Opens),
        (2, Refused("Missing CRYPTO header for crypt method 2")),
        (3, Refused("Unsupported encryption method 3")),
    ];
    cases.u32s("encryption method", &v3(), offset::CRYPT_METHOD, &crypt);
    cases.add("a byte of padding that is set", &v3().patch(105, &[1]), Opens);
}

fn tables(cases: &mut Cases) {
    let too_small = Refused("L1 table is too small");
    let too_big = Refused("Image is too big");
    // One L1 entry of 64 KiB clusters stands for 512 MiB; there are 2^31 - 1 of them at most.
    let size = [
        (0, Opens),
        (512 << 20, Opens),
        ((512 << 20) + 1, too_small.clone()),
        (0x7fff_ffff << 29, too_small.clone()),
        ((0x7fff_ffff << 29) + 512, too_big.clone()),
        (1 << 59, too_small.clone()),
        (1 << 60, too_big),
        // In QEMU the sum overflows, and something else fails.
        (u64::MAX, RefusedHere),
    ];
    cases.u64s("virtual size", &v3(), offset::SIZE, &size);
    let entries = [
        (0, too_small),
        (4_194_304, Opens),
        (4_194_305, Refused("Active L1 table too large")),
        (u32::MAX, Refused("Active L1 table too large")),
    ];
    cases.u32s("L1 entries", &v3(), offset::L1_SIZE, &entries);
    let l1 = Refused("Active L1 table offset invalid");
    let offsets =
        [(1, l1.clone()), (0x200, l1.clone()), (0x10000, Opens), (1 << 63, l1.clone()), (u64::MAX, l1)];
    cases.u64s("L1 offset", &v3(), offset::L1_OFFSET, &offsets);
    let refcount = Refused("Reference count table offset invalid");
    let last = 0x7fff_ffff_ffff_0000;
    let offsets = [(0x200, refcount.clone()), (last, refcount.clone()), (1 << 63, refcount)];
    cases.u64s("refcount table offset", &v3(), offset::REFCOUNT_OFFSET, &offsets);
    let clusters = [
        (0, Refused("Image does not contain a reference count table")),
        (1, Opens),
        (128, Opens),
        (129, Refused("Reference count table too large")),
        (u32::MAX, Refused("Reference count table too large")),
    ];
    cases.u32s("refcount table clusters", &v3(), offset::REFCOUNT_CLUSTERS, &clusters);
    // The limit is 8 MiB, whatever the clusters.
    for (bits, most) in [(9, 16384), (21, 4)] {
        let image = v3().cluster_bits(bits).size(1 << 20);
        let clusters = [(most, Opens), (most + 1, Refused("Reference count table too large"))];
        cases.u32s(&format!("refcount table of 2^{bits}"), &image, offset::REFCOUNT_CLUSTERS, &clusters);
    }
}

fn features(cases: &mut Cases) {
    let unset = Refused("qcow2: Compression type incompatible feature bit must not be set");
    for (bit, expect) in [
        (0, Opens),
        (1, Opens),
        (2, Opens),
        (3, unset.clone()),
        (4, Opens),
        (5, Refused("Unsupported qcow2 feature(s): Unknown incompatible feature: 20")),
        (63, Refused("Unsupported qcow2 feature(s): Unknown incompatible feature: 8000000000000000")),
    ] {
        let image = v3().patch_u64(offset::INCOMPATIBLE, 1 << bit);
        cases.add(&format!("incompatible bit {bit}"), &image, expect);
    }
    for bit in [0, 1, 63] {
        cases.add(&format!("compatible bit {bit}"), &v3().compatible(1 << bit), Opens);
        cases.add(&format!("autoclear bit {bit}"), &v3().autoclear(1 << bit), Opens);
    }
    let named = v3()
        .incompatible(0x8180)
        .feature_name(0, 7, "seven")
        .feature_name(1, 8, "another field's eight")
        .feature_name(0, 15, "fifteen");
    let names = "Unsupported qcow2 feature(s): seven, fifteen, Unknown incompatible feature: 100";
    cases.add("unknown features with names", &named, Refused(names));

    for (kind, bit, expect) in [
        (0, 0, Opens),
        (0, 8, unset.clone()),
        (1, 0, Refused("qcow2: Compression type incompatible feature bit must be set")),
        (1, 8, Opens),
        (2, 8, Refused("qcow2: unknown compression type: 2")),
        (255, 0, Refused("qcow2: unknown compression type: 255")),
    ] {
        let image = v3().patch(offset::COMPRESSION, &[kind]).incompatible(bit);
        cases.add(&format!("compression {kind}, bits {bit}"), &image, expect);
    }
    cases.add("the compression bit in a short header", &v3().short_header().incompatible(8), unset);
    cases.add("extended L2 with 16 KiB", &v3().cluster_bits(14).incompatible(16), Opens);
    let small = v3().cluster_bits(13).incompatible(16);
    cases.add("extended L2 with 8 KiB", &small, Refused("Unsupported subcluster size: 256"));
}

fn backing(cases: &mut Cases) {
    let long = Refused("Backing file name too long");
    let outside = Refused("Invalid backing file offset");
    let offsets = [
        (1, Opens),
        (72, Opens),
        (112, Opens),
        (65531, Opens),
        (65532, long.clone()),
        (65536, long.clone()),
        (65537, outside.clone()),
        (u64::MAX, outside),
    ];
    let base = v3().patch_u32(offset::BACKING_LEN, 5);
    cases.u64s("backing offset", &base, offset::BACKING_OFFSET, &offsets);
    let base = v3().patch_u64(offset::BACKING_OFFSET, 0x1000).patch(0x1000, &[b'x'; 1024]);
    let lengths = [(0, Opens), (1023, Opens), (1024, long.clone()), (u32::MAX, long)];
    cases.u32s("backing length", &base, offset::BACKING_LEN, &lengths);
}

fn extensions(cases: &mut Cases) {
    let too_large = Refused("Header extension too large");
    for (len, expect) in [
        (0, Opens),
        (15, Opens),
        (16, Refused("ERROR: ext_backing_format: len=16 too large (>=16)")),
        (48, Refused("ERROR: ext_backing_format: len=48 too large (>=16)")),
    ] {
        let image = v3().extension(extension::BACKING_FORMAT, &vec![b'q'; len]);
        cases.add(&format!("a backing format of {len} bytes"), &image, expect);
    }
    for len in [0, 47, 48, 49, 96] {
        let image = v3().extension(extension::FEATURE_NAMES, &vec![0; len]);
        cases.add(&format!("a name table of {len} bytes"), &image, Opens);
    }
    // The header and the extension's own eight bytes leave 65416.
    let lengths = [(65416, Opens), (65417, too_large.clone()), (u32::MAX, too_large.clone())];
    cases.u32s("an unknown extension of", &v3().extension(0x1234_5678, b""), 116, &lengths);
    let to_backing = v3().extension(7, &[b'z'; 20]).patch_u64(offset::BACKING_OFFSET, 130);
    cases.add("an extension that goes into the backing name", &to_backing, too_large);
    let twice = v3().extension(extension::BACKING_FORMAT, b"raw").backing(b"x", Some("qcow2"));
    cases.add("an extension that is there twice", &twice, Opens);
    let mut many = v3();
    for _ in 0..4096 {
        many = many.extension(0x1234_5678, b"");
    }
    cases.add("4096 extensions", &many, Opens);
    cases.add("4097 extensions", &many.extension(0x1234_5678, b""), RefusedHere);
    let mut deep = v3().short_header().cluster_bits(16).extension(0x1234_5678, &vec![1; 60000]);
    deep = deep.extension(extension::BACKING_FORMAT, b"raw").backing(b"far", None);
    cases.add("an extension and a name beyond what is read at first", &deep, Opens);
}

fn snapshots(cases: &mut Cases) {
    let one = || v3().snapshot(SnapshotSpec::new("1", "one"));
    let table = || Refused("Snapshot table offset invalid");
    let offsets = [(0x1ff, table()), (1 << 63, table())];
    cases.u64s("snapshot table offset", &one(), offset::SNAPSHOTS_OFFSET, &offsets);
    let past = [(0x10_0000, RefusedHere), (1 << 62, RefusedHere)];
    cases.u64s("snapshot table past the end", &one(), offset::SNAPSHOTS_OFFSET, &past);
    // Entries of zeros have 40 bytes each.
    let zeros = v3().patch_u64(offset::SNAPSHOTS_OFFSET, 0x10_0000).length(0x10_0000 + 40 * 65536);
    let counts = [
        (1, Opens),
        (65536, Opens),
        (65537, Refused("Snapshot table too large")),
        (u32::MAX, Refused("Snapshot table too large")),
    ];
    cases.u32s("snapshots", &zeros, offset::SNAPSHOTS, &counts);
    let cut = zeros.clone().length(0x10_0000 + 40 * 65536 - 1);
    cases.u32s("snapshots in a file that is cut by a byte", &cut, offset::SNAPSHOTS, &[(65536, RefusedHere)]);
    let extra = |len| {
        v3().snapshot(SnapshotSpec { extra: vec![0; len], ..SnapshotSpec::new("1", "one") })
            .snapshot(SnapshotSpec::new("2", "two"))
    };
    cases.add("1024 bytes of extra data", &extra(1024), Opens);
    let too_much = "Too much extra metadata in snapshot table entry 0\n\
                    You can force-remove this extra metadata with qemu-img check -r all";
    cases.add("1025 bytes of extra data", &extra(1025), Refused(too_much));
    let names = SnapshotSpec { id: vec![b'i'; 65535], name: vec![b'n'; 65535], ..SnapshotSpec::new("", "") };
    cases.add(
        "an id and a name of 65535 bytes",
        &v3().snapshot(names).snapshot(SnapshotSpec::new("2", "")),
        Opens,
    );
    // QEMU keeps 127 bytes of an id and 255 of a name, and shows no more.
    for (id, name) in [(127, 255), (128, 256)] {
        let (id, name) = (vec![b'i'; id], vec![b'n'; name]);
        let what = format!("an id of {} bytes and a name of {}", id.len(), name.len());
        let long = SnapshotSpec { id, name, ..SnapshotSpec::new("", "") };
        cases.add(&what, &v3().snapshot(long), Opens);
    }
    let odd = SnapshotSpec { id: b"i\0i".to_vec(), ..SnapshotSpec::new("", "") };
    cases.add("an id with a NUL", &v3().snapshot(odd), Opens);
}
