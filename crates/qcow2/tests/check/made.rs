//! Images as QEMU itself leaves them: when it is killed, when its writes fail, when it changes the format of an image, its
//! size, its bitmaps. Each is to us what it is to qemu-img, in check, info, map and every byte.

use std::process::{Command, Stdio};

use stillpoint_qcow2::check::CheckJson;
use stillpoint_testkit::image::oracle::{QemuImg, save_vm_state};

use crate::damage::{DATA, make};
use crate::oracle::{difference, find, qemu_io};
use crate::verbs;

struct Bench {
    _directory: tempfile::TempDir,
    qemu_img: QemuImg,
}

impl Bench {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let qemu_img = find(directory.path())?;
        Some(Self { _directory: directory, qemu_img })
    }

    fn create(&self, options: &str, size: &str) {
        let _ = std::fs::remove_file(self.qemu_img.directory().join("image"));
        self.qemu_img.create("image", options, size);
    }

    fn io(&self, commands: &[&str]) {
        qemu_io(self.qemu_img.directory(), "image", commands);
    }

    fn img(&self, arguments: &[&str]) {
        self.qemu_img.output(arguments);
    }

    /// Has qemu-io run commands that may fail, or kill it.
    fn io_that_fails(&self, open: &[&str], commands: &[&str]) {
        let mut command = Command::new("qemu-io");
        command.current_dir(self.qemu_img.directory()).args(open);
        command.args(commands.iter().flat_map(|command| ["-c", command]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("it was found and can be run");
    }

    /// Compares what both make of the image, and tells whether its check found anything.
    fn compare(&self, what: &str) -> bool {
        assert_eq!(difference(&self.qemu_img, "image"), None, "{what}");
        assert_eq!(verbs::difference(&self.qemu_img, "image"), None, "{what}");
        !self.qemu_img.run(["check", "-U", "-f", "qcow2", "image"]).status.success()
    }
}

#[test]
fn images_whose_qemu_was_killed() {
    let Some(bench) = Bench::new() else { return };
    let mut damaged = 0;
    for (options, mode) in [
        ("lazy_refcounts=on", "writeback"),
        ("lazy_refcounts=on", "writethrough"),
        ("lazy_refcounts=on,cluster_size=512", "writeback"),
        ("lazy_refcounts=off", "writeback"),
        ("lazy_refcounts=off,extended_l2=on", "writethrough"),
    ] {
        bench.create(options, "8M");
        bench.io(&["write -P 1 0 1M"]);
        let writes = ["write -P 2 512k 1M", "write -z 3M 1M", "write -P 3 4M 100k", "sigraise 9"];
        bench.io_that_fails(&["-t", mode, "-f", "qcow2", "image"], &writes);
        damaged += u32::from(bench.compare(&format!("{options} {mode}")));
    }
    assert!(damaged > 0, "one is dirty at least");
}

#[test]
fn images_whose_writes_failed_halfway() {
    let Some(bench) = Bench::new() else { return };
    let mut damaged = 0;
    for event in [
        "l1_update",
        "l2_update",
        "l2_alloc_cow_read",
        "l2_alloc_write",
        "cow_write",
        "write_compressed",
        "refblock_update_part",
        "refblock_alloc_hookup",
        "refblock_alloc_write",
        "refblock_alloc_switch_table",
        "cluster_alloc",
        "cluster_free",
    ] {
        bench.create("cluster_size=512,refcount_bits=64", "8M");
        bench.io(&["write -P 1 0 64k"]);
        bench.img(&["snapshot", "-c", "one", "image"]);
        let open = format!(
            "driver=qcow2,file.driver=blkdebug,file.image.driver=file,file.image.filename=image,\
             file.inject-error.0.event={event}"
        );
        let writes = ["write -P 2 1000 100k", "write -P 3 1M 100k", "write -c -P 4 3M 4k", "discard 0 8k"];
        bench.io_that_fails(&["--image-opts", &open], &writes);
        damaged += u32::from(bench.compare(event));
    }
    assert!(damaged > 0, "one has a leak at least");
}

#[test]
fn images_that_became_another_version_or_width() {
    let Some(bench) = Bench::new() else { return };
    let amend = |options: &str| bench.img(&["amend", "-f", "qcow2", "-o", options, "image"]);
    bench.create("compat=1.1,lazy_refcounts=on", "8M");
    bench.io(&["write -P 1 0 1M", "write -z 64k 128k", "write -zu 512k 64k", "write -z 4M 1M"]);
    for (step, options) in
        ["lazy_refcounts=off", "compat=0.10", "compat=1.1", "lazy_refcounts=on"].into_iter().enumerate()
    {
        amend(options);
        bench.compare(options);
        bench.io(&[&format!("write -P {} {}k 100k", step + 5, step * 700)]);
        bench.compare(options);
    }
    for (number, bits) in [1, 64, 2, 32, 16, 4, 8].into_iter().enumerate() {
        amend(&format!("refcount_bits={bits}"));
        bench.compare(&format!("refcounts of {bits} bits"));
        bench.io(&[&format!("write -P {bits} {number}M 10k")]);
    }
    amend("refcount_bits=16");
    bench.img(&["snapshot", "-c", "one", "image"]);
    bench.io(&["write -z 0 1M", "discard 2M 1M"]);
    for options in ["lazy_refcounts=off", "compat=0.10", "compat=1.1", "refcount_bits=64"] {
        amend(options);
        bench.compare(&format!("{options}, with a snapshot"));
    }
}

#[test]
fn images_that_grew_and_shrank() {
    let Some(bench) = Bench::new() else { return };
    std::fs::write(bench.qemu_img.directory().join("base.raw"), vec![9; 3 << 20]).expect("it can be written");
    for (options, preallocation) in [
        ("", "off"),
        ("", "falloc"),
        ("", "full"),
        ("cluster_size=512", "metadata"),
        ("extended_l2=on", "off"),
        ("extended_l2=on", "metadata"),
        ("data_file=image.data,data_file_raw=on", "metadata"),
        ("data_file=image.data,data_file_raw=on", "full"),
    ] {
        bench.create(options, "2M");
        bench.io(&["write -P 1 1M 512k"]);
        let to = format!("--preallocation={preallocation}");
        bench.img(&["resize", "-q", "-f", "qcow2", &to, "image", "5M"]);
        bench.compare(&format!("{options}, {preallocation}"));
        bench.io(&["write -P 2 4M 64k"]);
        bench.img(&["resize", "-q", "-f", "qcow2", "--shrink", "image", "1100288"]);
        bench.compare(&format!("{options}, {preallocation}, smaller again"));
    }
    // What is new is zeros, though the backing file has data there.
    for options in ["", "extended_l2=on,cluster_size=16k"] {
        let backing = format!("backing_file=base.raw,backing_fmt=raw,{options}");
        bench.create(backing.trim_end_matches(','), "1000448");
        bench.img(&["resize", "-q", "-f", "qcow2", "image", "4M"]);
        bench.compare(&format!("{options}, over a longer file"));
        bench.io(&["write -P 3 1M 1k", "discard 2M 64k"]);
        bench.compare(&format!("{options}, over a longer file, written"));
    }
    // Refcount tables of more than a cluster.
    bench.create("cluster_size=512,refcount_bits=64", "16M");
    bench.io(&["write -P 1 0 5M", "write -P 2 12M 64k"]);
    bench.compare("a refcount table that grew");
    bench.img(&["snapshot", "-c", "one", "image"]);
    bench.io(&["write -P 1 0 1M"]);
    bench.compare("and again");
}

#[test]
fn images_after_discards() {
    let Some(bench) = Bench::new() else { return };
    std::fs::write(bench.qemu_img.directory().join("base.raw"), vec![9; 3 << 20]).expect("it can be written");
    for version in ["compat=0.10", "compat=1.1", "compat=1.1,extended_l2=on"] {
        for backing in ["", "backing_file=base.raw,backing_fmt=raw,"] {
            bench.create(&format!("{backing}{version}"), "3M");
            bench.io(&["write -P 1 0 1M", "write -P 2 2M 512k"]);
            let discards = ["discard 64k 128k", "discard 2000k 200k", "write -zu 512k 64k", "discard 1M 1M"];
            bench.io_that_fails(&["-d", "unmap", "-f", "qcow2", "image"], &discards);
            bench.compare(&format!("{backing}{version}"));
            bench.img(&["snapshot", "-c", "one", "image"]);
            bench.io_that_fails(&["-d", "unmap", "-f", "qcow2", "image"], &["discard 0 3M"]);
            bench.compare(&format!("{backing}{version}, with a snapshot"));
            bench.img(&["snapshot", "-a", "one", "image"]);
            bench.img(&["snapshot", "-d", "one", "image"]);
            bench.compare(&format!("{backing}{version}, gone back"));
        }
    }
}

#[test]
fn images_whose_bitmaps_were_merged_cleared_and_taken_along() {
    let Some(bench) = Bench::new() else { return };
    bench.create("", "8M");
    bench.img(&["bitmap", "--add", "-g", "4k", "image", "b0"]);
    bench.io(&["write -P 1 0 100k"]);
    bench.img(&["bitmap", "--add", "image", "b1"]);
    bench.img(&["bitmap", "--add", "--disable", "image", "b2"]);
    bench.io(&["write -P 2 4M 100k"]);
    for step in [
        &["bitmap", "--merge", "b0", "image", "b1"][..],
        &["bitmap", "--clear", "image", "b0"],
        &["bitmap", "--disable", "image", "b1"],
        &["bitmap", "--enable", "image", "b2"],
        &["resize", "-q", "-f", "qcow2", "image", "9M"],
        &["snapshot", "-c", "one", "image"],
        &["bitmap", "--remove", "image", "b0"],
    ] {
        bench.img(step);
        bench.compare(&step.join(" "));
    }
    let convert = ["convert", "-f", "qcow2", "-O", "qcow2", "--bitmaps", "image", "copy"];
    bench.img(&convert);
    std::fs::rename(bench.qemu_img.directory().join("copy"), bench.qemu_img.directory().join("image"))
        .expect("it was made");
    bench.compare("a copy with bitmaps");
    // Killed while a bitmap was in use.
    let writes = ["write -P 9 0 64k", "sigraise 9"];
    bench.io_that_fails(&["-f", "qcow2", "image"], &writes);
    bench.compare("bitmaps in use");
}

#[test]
fn images_that_hold_the_state_of_a_machine() {
    let Some(bench) = Bench::new() else { return };
    for options in ["", "compat=0.10", "cluster_size=512", "extended_l2=on,compression_type=zstd"] {
        bench.create(options, "4M");
        bench.io(&["write -P 1 0 1M"]);
        if !save_vm_state(&bench.qemu_img.directory().join("image"), &["with", "with another"]) {
            return;
        }
        bench.io(&["write -P 2 512k 1M"]);
        bench.compare(options);
        bench.img(&["snapshot", "-d", "with", "image"]);
        bench.compare(&format!("{options}, one less"));
    }
}

#[test]
fn commits_that_failed_halfway() {
    let Some(bench) = Bench::new() else { return };
    for event in ["l1_update", "empty_image_prepare", "reftable_update", "refblock_alloc", "write_aio"] {
        let directory = bench.qemu_img.directory();
        let _ = std::fs::remove_file(directory.join("base.qcow2"));
        bench.qemu_img.create("base.qcow2", "", "4M");
        bench.create("backing_file=base.qcow2,backing_fmt=qcow2,cluster_size=512", "4M");
        bench.io(&["write -P 1 0 1M", "write -z 2M 512k"]);
        let open = format!(
            "driver=qcow2,file.driver=blkdebug,file.image.driver=file,file.image.filename=image,\
             file.inject-error.0.event={event}"
        );
        // It fails, or it does not: QEMU decides.
        bench.qemu_img.run(["commit", "-q", "--image-opts", &open]);
        bench.compare(event);
    }
}

/// What was repaired is in the model of the JSON too, though nothing is repaired here.
#[test]
fn what_qemu_img_says_of_a_repair_reads_into_the_model() {
    let Some(bench) = Bench::new() else { return };
    let mut image = make(&bench.qemu_img, "", DATA);
    // A leak, and a refcount that is too low.
    image.put64(image.l2(), 0);
    image.put16(image.block() + 2 * 6, 0);
    image.write();
    let repair = bench.qemu_img.run(["check", "-r", "all", "--output=json", "-f", "qcow2", "image"]);
    let text = String::from_utf8(repair.stdout).expect("text");
    let read: CheckJson = serde_json::from_str(&text).expect("their JSON reads into the model");
    assert_eq!((read.leaks_fixed, read.corruptions_fixed), (1, 1), "{text}");
    assert_eq!(read.to_json() + "\n", text);
    assert!(!bench.compare("repaired"));
}

#[test]
fn images_that_stand_on_what_is_not_there_or_not_known() {
    let Some(bench) = Bench::new() else { return };
    bench.qemu_img.create("base.qcow2", "", "4M");
    qemu_io(bench.qemu_img.directory(), "base.qcow2", &["write -P 7 1M 1M"]);
    let rebase = |backing: &str, format: &str| {
        bench.create("", "4M");
        bench.io(&["write -P 1 0 64k"]);
        bench.img(&["rebase", "-u", "-f", "qcow2", "-b", backing, "-F", format, "image"]);
    };
    for (backing, format) in
        [("base.qcow2", "qcow2"), ("gone.qcow2", "qcow2"), ("base.qcow2", "raw"), ("gone", "raw")]
    {
        rebase(backing, format);
        // qemu-img's check opens the whole chain, ours only the image.
        assert_eq!(verbs::difference(&bench.qemu_img, "image"), None, "{backing} {format}");
    }
    // A format that nobody has: the extension's text is patched, since qemu-img would not write it.
    rebase("base.qcow2", "qcow2");
    let path = bench.qemu_img.directory().join("image");
    let mut image = std::fs::read(&path).expect("it is there");
    let at = image.windows(9).position(|bytes| bytes == b"\0\0\0\x05qcow2").expect("it has the extension");
    image[at + 4..at + 9].copy_from_slice(b"qcowX");
    std::fs::write(&path, image).expect("it can be written");
    assert_eq!(verbs::difference(&bench.qemu_img, "image"), None, "an unknown format");
}
