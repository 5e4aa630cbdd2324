//! `info` against qemu-img's own: the same JSON, as values and to the byte, and the same text.
//!
//! Where qemu-img isn't installed these tests say so and pass; `STILLPOINT_REQUIRE_ORACLES=1` makes them fail.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use stillpoint_qcow2::info::{ImageInfo, InfoOptions, chain_to_json, chain_to_text};
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Format, Image, Name, Source};
use stillpoint_storage::FileStorage;
use stillpoint_testkit::image::oracle::{QemuImg, Writer, available, save_vm_state};

/// A directory with qemu-img in it, or nothing where there is no qemu-img.
struct Bench {
    _directory: tempfile::TempDir,
    qemu_img: QemuImg,
    compared: usize,
}

impl Bench {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let qemu_img = QemuImg::find(directory.path())?;
        Some(Self { _directory: directory, qemu_img, compared: 0 })
    }

    fn create(&mut self, name: &str, options: &str) {
        self.qemu_img.create(name, options, "64M");
    }

    fn make_and_compare(&mut self, name: &str, options: &str) -> ImageInfo {
        self.create(name, options);
        self.compare(name)
    }

    /// Compares for an image whose format both find out by themselves.
    fn compare(&mut self, name: impl AsRef<OsStr>) -> ImageInfo {
        self.compare_as(name.as_ref(), None)
    }

    fn compare_as(&mut self, name: &OsStr, format: Option<Format>) -> ImageInfo {
        let path = self.qemu_img.directory().join(name);
        let storage = FileStorage::open(&path).expect("it can be opened");
        let options = InfoOptions::default().format(format);
        let ours = ImageInfo::gather(&storage, &Name::from(Path::new(name)), &options)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));

        let format: &[&OsStr] =
            &format.map_or_else(Vec::new, |format| vec![OsStr::new("-f"), OsStr::new(format.name())]);
        let json = self.info(format, &["-U", "--output=json"], name);
        self.same_json(&ours.to_json(), &json);
        let read: ImageInfo = serde_json::from_str(&json).expect("qemu-img's JSON reads into the model");
        assert_eq!(format!("{}\n", read.to_json()), json, "and comes out again as it was");
        // QEMU prints a name that isn't UTF-8 as it is; ours is text.
        if std::str::from_utf8(name.as_bytes()).is_ok() {
            same_text(&ours.to_text(), &self.info(format, &["-U"], name));
        }
        self.compared += 1;
        ours
    }

    /// Compares whole chains. The name is absolute, since our process works in another directory.
    fn compare_chain(&mut self, name: &str) -> Vec<ImageInfo> {
        let path = self.qemu_img.directory().join(name);
        let options = ChainOptions::default().detect_backing_format(true);
        let chain = Chain::open(Source::open(&path).expect("it can be opened"), None, &AnyFile, &options)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let ours = ImageInfo::of_chain(&chain).expect("each layer tells its facts");
        let json = self.info(&[], &["-U", "--backing-chain", "--output=json"], path.as_os_str());
        self.same_json(&chain_to_json(&ours), &json);
        same_text(&chain_to_text(&ours), &self.info(&[], &["-U", "--backing-chain"], path.as_os_str()));
        self.compared += 1;
        ours
    }

    fn info(&self, format: &[&OsStr], arguments: &[&str], name: &OsStr) -> String {
        let mut all: Vec<&OsStr> = vec![OsStr::new("info")];
        all.extend(format);
        all.extend(arguments.iter().map(OsStr::new));
        all.push(name);
        String::from_utf8(self.qemu_img.output(all)).expect("its output is text")
    }

    fn same_json(&self, ours: &str, theirs: &str) {
        let value = |text| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
        let (ours, theirs) = (without_live_facts(&format!("{ours}\n")), without_live_facts(theirs));
        assert_eq!(value(&ours), value(&theirs));
        assert_eq!(ours, theirs);
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(self.qemu_img.directory().join(name));
        file.and_then(|file| file.write_all_at(bytes, offset)).expect("it can be written");
    }

    /// Where the LUKS header of an image is.
    fn luks_header(&self, name: &str) -> u64 {
        let path = self.qemu_img.directory().join(name);
        let image = Image::open(FileStorage::open(path).expect("it is there")).expect("it opens");
        image.extensions().crypto_header().expect("it has one").offset
    }

    fn snapshot(&self, image: &str, name: &str) {
        self.qemu_img.output(["snapshot", "-c", name, image]);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            println!("compared {} images with qemu-img", self.compared);
        }
    }
}

/// Without what belongs to the open file and not to the image: a file system may allocate late, and XFS has a
/// hint that only an open file can be asked for.
fn without_live_facts(json: &str) -> String {
    let lines = json.lines().filter(|line| !line.contains("\"extent-size-hint\""));
    let lines = lines.map(|line| match line.split_once("\"actual-size\": ") {
        Some((indent, _)) => format!("{indent}\"actual-size\": N,"),
        None => line.to_owned(),
    });
    // Both are JSON again with a number in the place of N.
    lines.collect::<Vec<_>>().join("\n").replace("\"actual-size\": N,", "\"actual-size\": 0,")
}

fn same_text(ours: &str, theirs: &str) {
    let without = |text: &str| {
        let hint = "    Format specific information:\n        extent size hint: 1048576\n";
        let text = text.replace(hint, "");
        let lines = text.lines().map(|line| match line.split_once("disk size: ") {
            Some((indent, _)) => format!("{indent}disk size: N"),
            None => line.to_owned(),
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(without(ours), without(theirs));
}

#[test]
fn every_cluster_size_of_both_versions() {
    let Some(mut bench) = Bench::new() else { return };
    for bits in 9..=21 {
        for compat in ["0.10", "1.1"] {
            let options = format!("compat={compat},cluster_size={}", 1_u64 << bits);
            bench.make_and_compare(&format!("{compat}-{bits}.qcow2"), &options);
        }
    }
}

#[test]
fn every_refcount_width_with_each_kind_of_cluster_size() {
    let Some(mut bench) = Bench::new() else { return };
    for order in 0..=6 {
        for bits in [9, 12, 16, 21] {
            let options = format!("refcount_bits={},cluster_size={}", 1 << order, 1 << bits);
            let info = bench.make_and_compare(&format!("{order}-{bits}.qcow2"), &options);
            assert!(info.to_json().contains(&format!("\"refcount-bits\": {}", 1 << order)));
        }
    }
}

#[test]
fn features_crossed_with_each_other() {
    let Some(mut bench) = Bench::new() else { return };
    let mut number = 0;
    for lazy in ["on", "off"] {
        for compression in ["zlib", "zstd"] {
            for extended in ["on", "off"] {
                for data_file in ["", "plain", "raw"] {
                    number += 1;
                    let mut options = format!(
                        "lazy_refcounts={lazy},compression_type={compression},extended_l2={extended}"
                    );
                    match data_file {
                        "raw" => options += &format!(",data_file={number}.data,data_file_raw=on"),
                        "plain" => options += &format!(",data_file={number}.data"),
                        _ => {}
                    }
                    bench.make_and_compare(&format!("{number}.qcow2"), &options);
                }
            }
        }
    }
}

#[test]
fn encrypted_images_of_every_kind() {
    let Some(mut bench) = Bench::new() else { return };
    let luks = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10";
    let essiv = ",encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256";
    for (name, options) in [("plain", ""), ("essiv", essiv), ("v2", ",compat=0.10,cluster_size=512")] {
        let info = bench.make_and_compare(&format!("luks-{name}.qcow2"), &format!("{luks}{options}"));
        assert_eq!(info.encrypted, Some(true));
    }
    // What follows is written over the header, since QEMU takes seconds to make each: `info` needs no key.
    let at = bench.luks_header("luks-plain.qcow2");
    for (cipher, key_len, mode, hash) in [
        ("aes", 16, "cbc-plain", "md5"),
        ("aes", 48, "xts-plain64", "sha1"),
        ("aes", 32, "ctr-essiv:sm3", "sha224"),
        ("serpent", 24, "ecb-plain", "sha384"),
        ("serpent", 64, "xts-plain", "sha512"),
        ("twofish", 16, "cbc-plain64", "ripemd160"),
        ("twofish", 32, "xts-plain64:sha1", "sm3"),
        ("cast5", 16, "cbc-essiv:md5", "sha256"),
    ] {
        for (offset, text) in [(8, cipher), (40, mode), (72, hash)] {
            let mut field = [0; 32];
            field[..text.len()].copy_from_slice(text.as_bytes());
            bench.write("luks-plain.qcow2", at + offset, &field);
        }
        bench.write("luks-plain.qcow2", at + 108, &u32::to_be_bytes(key_len));
        bench.compare("luks-plain.qcow2");
    }
    for (name, options) in [("aes", ""), ("aes-v2", ",compat=0.10")] {
        let options = format!("encryption=on,encrypt.key-secret=key{options}");
        bench.make_and_compare(&format!("{name}.qcow2"), &options);
    }
}

#[test]
fn a_second_key_slot() {
    let Some(mut bench) = Bench::new() else { return };
    bench.create("two.qcow2", "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10");
    bench.qemu_img.output([
        "amend",
        "--object",
        "secret,id=key,data=still",
        "--object",
        "secret,id=more,data=point",
        "--image-opts",
        "driver=qcow2,file.filename=two.qcow2,encrypt.key-secret=key",
        "-o",
        "encrypt.state=active,encrypt.new-secret=more,encrypt.iter-time=10,encrypt.keyslot=5",
    ]);
    let info = bench.compare("two.qcow2");
    assert_eq!(info.to_json().matches("\"active\": true").count(), 2);
}

#[test]
fn bitmaps_enabled_and_disabled_of_several_granularities() {
    let Some(mut bench) = Bench::new() else { return };
    bench.create("b.qcow2", "");
    for (name, options) in [
        ("first", vec![]),
        ("second", vec!["--disable"]),
        ("fine", vec!["-g", "512"]),
        ("coarse", vec!["-g", "2147483648", "--disable"]),
        ("näme with \"quotes\"", vec![]),
    ] {
        let arguments = ["bitmap", "--add"].into_iter().chain(options).chain(["b.qcow2", name]);
        bench.qemu_img.output(arguments);
        bench.compare("b.qcow2");
    }
    // The directory's third word of the first entry: its flags. In use, and in use and auto.
    let path = bench.qemu_img.directory().join("b.qcow2");
    let image =
        stillpoint_qcow2::Image::open(FileStorage::open(&path).expect("it is there")).expect("it opens");
    let directory = image.extensions().bitmaps().expect("it has bitmaps").directory_offset;
    for flags in [1_u32, 3, 2] {
        bench.write("b.qcow2", directory + 12, &flags.to_be_bytes());
        bench.compare("b.qcow2");
    }
    bench.qemu_img.output(["bitmap", "--remove", "b.qcow2", "first"]);
    bench.compare("b.qcow2");
}

#[test]
fn bitmaps_that_are_not_believed_are_not_shown() {
    let Some(mut bench) = Bench::new() else { return };
    bench.create("b.qcow2", "");
    bench.qemu_img.output(["bitmap", "--add", "b.qcow2", "first"]);
    bench.write("b.qcow2", 88, &[0; 8]);
    let info = bench.compare("b.qcow2");
    assert!(!info.to_json().contains("bitmaps"));
}

#[test]
fn snapshots_without_vm_state() {
    let Some(mut bench) = Bench::new() else { return };
    for (name, options) in
        [("v3.qcow2", ""), ("v2.qcow2", "compat=0.10"), ("small.qcow2", "cluster_size=512")]
    {
        bench.create(name, options);
        for snapshot in ["one", "two", "a name that is longer than its column", "sech\u{df} \u{1f600}"] {
            bench.snapshot(name, snapshot);
            bench.compare(name);
        }
        bench.qemu_img.output(["snapshot", "-d", "two", name]);
        bench.compare(name);
    }
}

#[test]
fn snapshots_with_vm_state_of_a_real_qemu() {
    let Some(mut bench) = Bench::new() else { return };
    for (name, options) in [("v3.qcow2", ""), ("v2.qcow2", "compat=0.10"), ("small.qcow2", "cluster_size=4k")]
    {
        bench.create(name, options);
        bench.snapshot(name, "without");
        if !save_vm_state(&bench.qemu_img.directory().join(name), &["with", "with another"]) {
            return;
        }
        let info = bench.compare(name);
        let snapshots = info.snapshots.expect("it has snapshots");
        assert_eq!(snapshots.len(), 3);
        assert!(snapshots[0].vm_state_size == 0 && snapshots[1].vm_state_size > 0);
        assert!(snapshots[0].icount == Some(0) && snapshots[1].icount.is_none());
    }
}

#[test]
fn chains_of_qcow2_and_raw() {
    let Some(mut bench) = Bench::new() else { return };
    std::fs::create_dir(bench.qemu_img.directory().join("sub")).expect("it can be made");
    bench.qemu_img.output(["create", "-q", "-f", "raw", "base.raw", "10M"]);
    let create = |bench: &Bench, name: &str, backing: &str, format: &str| {
        bench.qemu_img.output(["create", "-q", "-f", "qcow2", "-b", backing, "-F", format, name]);
    };
    create(&bench, "a.qcow2", "base.raw", "raw");
    create(&bench, "sub/b.qcow2", "../a.qcow2", "qcow2");
    create(&bench, "c.qcow2", "sub/b.qcow2", "qcow2");
    bench.snapshot("sub/b.qcow2", "in the middle");
    for name in ["base.raw", "a.qcow2", "sub/b.qcow2", "c.qcow2", "./c.qcow2"] {
        bench.compare(name);
    }
    assert_eq!(bench.compare_chain("c.qcow2").len(), 4);
    assert_eq!(bench.compare_chain("sub/b.qcow2").len(), 3);
    let absolute = bench.qemu_img.directory().join("sub/b.qcow2");
    create(&bench, "d.qcow2", absolute.to_str().expect("it is text"), "qcow2");
    assert_eq!(bench.compare_chain("d.qcow2").len(), 4);
}

#[test]
fn a_chain_whose_formats_must_be_found_out() {
    let Some(mut bench) = Bench::new() else { return };
    bench.create("base.qcow2", "");
    bench.qemu_img.output(["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]);
    // Without the format: the extension becomes one that nobody knows.
    let top = std::fs::read(bench.qemu_img.directory().join("top.qcow2")).expect("it can be read");
    let at = top.windows(4).position(|word| word == [0xe2, 0x79, 0x2a, 0xca]).expect("it has the extension");
    bench.write("top.qcow2", at as u64, &[1, 2, 3, 4]);
    bench.compare("top.qcow2");
    assert_eq!(bench.compare_chain("top.qcow2").len(), 2);
}

#[test]
fn backing_names_of_every_form() {
    let Some(mut bench) = Bench::new() else { return };
    std::fs::create_dir(bench.qemu_img.directory().join("sub")).expect("it can be made");
    bench.create("base.qcow2", "");
    let path = bench.qemu_img.directory().join("base.qcow2");
    let json =
        format!(r#"json:{{"driver":"qcow2","file":{{"driver":"file","filename":"{}"}}}}"#, path.display());
    let names = [
        "missing.qcow2",
        "/nowhere/missing.qcow2",
        "../up.qcow2",
        "./odd:name",
        "nbd://localhost/export",
        "file:base.qcow2",
        "n\u{e4}me \u{1f600} \"'\\.qcow2",
        &json,
        r#"json:{"file.filename":"base.qcow2"}"#,
        "json:{}",
    ];
    for (number, backing) in names.into_iter().enumerate() {
        for directory in ["", "sub/"] {
            let name = format!("{directory}{number}.qcow2");
            let create = ["create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2", &name, "64M"];
            bench.qemu_img.output(create);
            let info = bench.compare(&name);
            assert_eq!(info.backing_filename.as_deref(), Some(backing));
        }
    }
    assert_eq!(bench.compare_chain("7.qcow2").len(), 2);
    assert_eq!(bench.compare_chain("sub/7.qcow2").len(), 2);
}

#[test]
fn dirty_and_corrupt_images() {
    let Some(mut bench) = Bench::new() else { return };
    for bits in 0..=3_u8 {
        let name = format!("{bits}.qcow2");
        bench.create(&name, "lazy_refcounts=on");
        bench.write(&name, 79, &[bits]);
        let info = bench.compare(&name);
        assert_eq!(info.dirty_flag, bits & 1 == 1);
    }
}

#[test]
fn images_with_odd_names() {
    let Some(mut bench) = Bench::new() else { return };
    let names: [&[u8]; 12] = [
        b"./with space.qcow2",
        b"./quote\"back\\slash.qcow2",
        b"./line\nfeed\ttab.qcow2",
        b"./control\x01\x1f\x7f.qcow2",
        "./\u{e9}\u{301}\u{4e2d}\u{1f600}.qcow2".as_bytes(),
        "./\u{ffff}\u{fdd0}.qcow2".as_bytes(),
        b"./colon:inside.qcow2",
        b"./percent%s%n.qcow2",
        b"./invalid\xff\xc3(.qcow2",
        b"./surrogate\xed\xa0\x80.qcow2",
        b"./overlong\xc0\xaf.qcow2",
        b"./cut\xe2\x82",
    ];
    for name in names {
        let name = OsStr::from_bytes(name);
        bench.qemu_img.create(name, "", "1M");
        bench.compare(name);
    }
}

#[test]
fn raw_disks_and_images_taken_as_raw() {
    let Some(mut bench) = Bench::new() else { return };
    for size in ["0", "1", "511", "512", "513", "1000001", "1G", "3T"] {
        let name = format!("{size}.raw");
        bench.qemu_img.output(["create", "-q", "-f", "raw", &name, size]);
        bench.compare(&name);
    }
    bench.create("image.qcow2", "");
    let info = bench.compare_as(OsStr::new("image.qcow2"), Some(Format::Raw));
    assert_eq!(info.format, "raw");
}

#[test]
fn disks_of_sizes_that_round_in_every_unit() {
    let Some(mut bench) = Bench::new() else { return };
    for size in ["0", "512", "1000", "1023K", "1M", "999M", "1000M", "1001M", "1G", "1500G", "64T", "1P"] {
        let name = format!("{size}.qcow2");
        bench.qemu_img.create(&name, "cluster_size=2M", size);
        bench.compare(&name);
    }
}

#[test]
fn an_image_while_a_qemu_has_it_open_for_writing() {
    let Some(mut bench) = Bench::new() else { return };
    if !available("qemu-io") {
        return;
    }
    bench.create("open.qcow2", "lazy_refcounts=on");
    let mut writer = Writer::open(&bench.qemu_img.directory().join("open.qcow2"));
    writer.write("write 0 64k");
    let info = bench.compare("open.qcow2");
    assert!(info.dirty_flag, "lazy refcounts make it dirty while it is open");
    writer.close();
    assert!(!bench.compare("open.qcow2").dirty_flag);
}
