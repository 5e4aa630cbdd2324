//! Guest data against qemu-img's: images that qemu-img and qemu-io made read as `qemu-img convert -O raw` has
//! them, active disk and snapshots.
//!
//! Where these programs aren't installed the tests say so and pass; `STILLPOINT_REQUIRE_ORACLES=1` makes them fail.

use std::path::Path;
use std::process::{Command, Stdio};

use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Disk, Source};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::image::oracle::{QemuImg, available};

struct Bench {
    _directory: tempfile::TempDir,
    qemu_img: QemuImg,
}

impl Bench {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let qemu_img = QemuImg::find(directory.path())?;
        available("qemu-io").then(|| Self { _directory: directory, qemu_img })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.qemu_img.directory().join(name)
    }

    /// Has qemu-io run commands on an image.
    fn io(&self, name: &str, commands: &[String]) {
        let mut qemu_io = Command::new("qemu-io");
        qemu_io.args(["-d", "unmap", "-f", "qcow2"]).current_dir(self.qemu_img.directory());
        for command in commands {
            qemu_io.args(["-c", command]);
        }
        let output = qemu_io.arg(name).stdin(Stdio::null()).output().expect("it was found and can be run");
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = !output.status.success() || !output.stderr.is_empty() || said.contains("failed");
        assert!(!failed, "{said}{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Compares the active disk, or a snapshot's.
    fn compare(&self, name: &str, snapshot: Option<&str>) {
        let mut arguments = vec!["convert", "-U", "-f", "qcow2", "-O", "raw"];
        arguments.extend(snapshot.iter().flat_map(|snapshot| ["-l", snapshot]));
        arguments.extend([name, "expected.raw"]);
        self.qemu_img.output(arguments);
        let expected = std::fs::read(self.path("expected.raw")).expect("it was made");
        let disk = open(&self.path(name), snapshot);
        assert_eq!(disk.len(), expected.len() as u64, "{name} {snapshot:?}");
        let mut bytes = vec![0xee; expected.len()];
        disk.read_exact_at(0, &mut bytes).expect("it can be read");
        let different = bytes.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(different, None, "{name} {snapshot:?}: the first byte that differs");
        for extent in extents(&disk) {
            let extent = extent.expect("it can be told");
            let range =
                usize::try_from(extent.offset).expect("short")..usize::try_from(extent.end()).expect("short");
            let zeros = extent.kind == ExtentKind::Data || expected[range].iter().all(|&byte| byte == 0);
            assert!(zeros, "{name} {snapshot:?}: data in the hole {extent:?}");
        }
    }
}

fn open(path: &Path, snapshot: Option<&str>) -> Disk {
    let source = Source::open(path).expect("it can be opened");
    let chain = Chain::open(source, None, &AnyFile, &ChainOptions::default()).expect("it has an end");
    match snapshot {
        None => Disk::open(&chain, &AnyFile).expect("it keeps the rules"),
        Some(name) => {
            let image = chain.layers()[0].image().expect("it is an image");
            let snapshot = image.snapshot(name).expect("it is there");
            Disk::open_snapshot(&chain, snapshot, &AnyFile).expect("it keeps the rules")
        }
    }
}

/// Writes, zeroes and discards here and there over `size` bytes, by a fixed sequence of numbers.
fn commands(seed: u64, size: u64, zeroes: bool) -> Vec<String> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut commands = Vec::new();
    for i in 0..30 {
        let len = (1 + next(if i % 3 == 0 { 400 } else { 20 })) * 512;
        let offset = next((size - len) / 512) * 512;
        commands.push(match next(5) {
            0 if zeroes => format!("write -z {offset} {len}"),
            1 if zeroes => format!("write -zu {offset} {len}"),
            2 => format!("discard {offset} {len}"),
            _ => format!("write -P {} {offset} {len}", 1 + next(255)),
        });
    }
    commands
}

const SIZE: u64 = 6 << 20;

#[test]
fn images_of_every_shape_after_writes_zeroes_and_discards() {
    let Some(bench) = Bench::new() else { return };
    let mut number = 0;
    for options in [
        "cluster_size=512",
        "cluster_size=4k",
        "cluster_size=64k",
        "cluster_size=2M",
        "cluster_size=512,compat=0.10",
        "cluster_size=64k,compat=0.10",
        "cluster_size=16k,extended_l2=on",
        "cluster_size=64k,extended_l2=on",
        "cluster_size=2M,extended_l2=on",
        "cluster_size=4k,preallocation=metadata",
        "cluster_size=64k,preallocation=falloc",
        "cluster_size=4k,refcount_bits=1",
        "cluster_size=4k,lazy_refcounts=on",
        "cluster_size=4k,data_file=NAME.data",
        "cluster_size=64k,data_file=NAME.data,data_file_raw=on",
        "cluster_size=32k,extended_l2=on,data_file=NAME.data",
    ] {
        number += 1;
        let name = format!("{number}.qcow2");
        bench.qemu_img.create(&name, &options.replace("NAME", &name), &SIZE.to_string());
        bench.io(&name, &commands(number, SIZE, !options.contains("0.10")));
        bench.compare(&name, None);
    }
    println!("compared {number} images with qemu-img");
}

/// Bytes of which some compress well, some little and some not at all.
fn payload() -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes = Vec::new();
    for block in 0..96_u32 {
        for i in 0..16384_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.push(match block % 4 {
                0 => (state >> 24) as u8,
                1 => b"still point of the turning world "[(i % 33) as usize],
                2 => (state >> 30) as u8 + b'a',
                _ if block % 8 == 3 => 0,
                _ => (i / 64) as u8,
            });
        }
    }
    bytes.extend(b"and a tail that is no whole sector");
    bytes
}

#[test]
fn compressed_images_of_both_kinds() {
    let Some(bench) = Bench::new() else { return };
    std::fs::write(bench.path("payload.raw"), payload()).expect("it can be written");
    let mut number = 0;
    for compression in ["zlib", "zstd"] {
        for more in
            ["cluster_size=512", "cluster_size=4k", "cluster_size=64k", "cluster_size=2M", "extended_l2=on"]
        {
            number += 1;
            let name = format!("{number}.qcow2");
            let options = format!("{more},compression_type={compression}");
            let convert = ["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", &options, "payload.raw", &name];
            bench.qemu_img.output(convert);
            bench.compare(&name, None);
            // Clusters that are written to become plain; their neighbours stay compressed.
            bench.io(&name, &commands(number, 1 << 20, true));
            bench.compare(&name, None);
        }
    }
    println!("compared {} images with qemu-img", number * 2);
}

#[test]
fn snapshots_of_a_disk_that_was_written_and_resized_since() {
    let Some(bench) = Bench::new() else { return };
    for (number, options) in ["cluster_size=4k", "cluster_size=64k,extended_l2=on"].into_iter().enumerate() {
        let name = format!("{number}.qcow2");
        bench.qemu_img.create(&name, options, &SIZE.to_string());
        for (step, snapshot) in ["first", "second", "third"].into_iter().enumerate() {
            bench.io(&name, &commands(step as u64 + 10, SIZE, true));
            bench.qemu_img.output(["snapshot", "-c", snapshot, &name]);
        }
        bench.io(&name, &commands(20, SIZE, true));
        for snapshot in [None, Some("first"), Some("second"), Some("third")] {
            bench.compare(&name, snapshot);
        }
    }
    println!("compared 8 disks with qemu-img");
}

#[test]
fn chains_whose_layers_have_other_sizes_and_formats() {
    let Some(bench) = Bench::new() else { return };
    std::fs::write(bench.path("base.raw"), payload()).expect("it can be written");
    let size = payload().len() as u64;
    let layers = [
        ("same.qcow2", "base.raw", "raw", size.to_string()),
        ("shorter.qcow2", "base.raw", "raw", "1M".to_owned()),
        ("longer.qcow2", "base.raw", "raw", "5M".to_owned()),
        ("on-shorter.qcow2", "shorter.qcow2", "qcow2", "4M".to_owned()),
        ("on-longer.qcow2", "longer.qcow2", "qcow2", "3M".to_owned()),
        ("top.qcow2", "on-shorter.qcow2", "qcow2", "6M".to_owned()),
    ];
    for (number, (name, backing, format, size)) in layers.iter().enumerate() {
        let options =
            format!("backing_file={backing},backing_fmt={format},cluster_size={}k", 4 << (number % 3));
        bench.qemu_img.create(name, &options, size);
        bench.io(name, &commands(number as u64 + 30, 1 << 20, true));
        bench.compare(name, None);
    }
    println!("compared {} chains with qemu-img", layers.len());
}
