//! `measure` on images of files and on sizes, with qemu-img as the oracle for its words.

use std::fs;

use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::{BitmapSpec, ClusterSpec, ImageBuilder, SnapshotSpec};

use crate::same_as_qemu_img;

#[test]
fn stdout_stderr_and_exit_codes_are_qemu_imgs() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    let data = |byte| ClusterSpec::Data(vec![byte; 65536]);
    let mut snapshot = SnapshotSpec::new("1", "before").extra(0, 1 << 20, 0);
    snapshot.clusters = vec![(0, data(1)), (1, data(2))];
    let image = ImageBuilder::v3().cluster(0, data(2)).snapshot(snapshot).bitmap(BitmapSpec::new("one"));
    fs::write(dir.path().join("a.qcow2"), image.build()).expect("written");
    fs::write(dir.path().join("v2.qcow2"), ImageBuilder::v2().cluster(0, data(2)).build()).expect("written");
    fs::write(dir.path().join("a.raw"), [1; 70_001]).expect("written");
    for target in [
        &["-O", "qcow2"][..],
        &["-O", "raw"],
        &["-O", "qcow2", "--output=json"],
        &["--output=json"],
        &["-O", "qcow2", "-o", "cluster_size=4k,compat=0.10"],
        &["-O", "qcow2", "-o", "cluster_size=32k", "-o", "extended_l2=on,refcount_bits=1"],
        &["-O", "qcow2", "-o", "preallocation=full"],
        &["-O", "qcow2", "-o", "backing_file=x,backing_fmt=raw"],
        &["-O", "qcow2", "-o", "cluster_size=3k"],
        &["-O", "qcow2", "-o", "cluster_size=4k,extended_l2=on"],
        &["-O", "qcow2", "-o", "refcount_bits=3"],
        &["-O", "qcow2", "-o", "refcount_bits=8,compat=0.10"],
        &["-O", "qcow2", "-o", "compat=v9"],
        &["-O", "qcow2", "-o", "cluster_size=x"],
        &["-O", "qcow2", "-o", "size=1M,lazy_refcounts=on,nocow=off,extent_size_hint=4k"],
        &["-O", "qcow2", "-o", "lazy_refcounts=x"],
        &["-O", "qcow2", "-o", "data_file_raw=x"],
        &["-O", "qcow2", "-o", "size=x"],
        &["-O", "qcow2", "-o", "extended_l2=maybe"],
        &["-O", "qcow2", "-o", "lazy_refcounts"],
        &["-O", "qcow2", "-o", "nolazy_refcounts"],
        &["-O", "qcow2", "-o", "nonsense=1"],
        &["-O", "qcow2", "-o", "refcount_bits=x"],
        &["-O", "qcow2", "-o", "refcount_bits=-1"],
        &["-O", "qcow2", "-o", "preallocation=nonsense"],
        &["-O", "raw", "-o", "nocow=on,size=1M,extent_size_hint=1M"],
        &["-O", "raw", "-o", "size=x"],
        &["-O", "raw", "-o", "cluster_size=64k"],
        &["-O", "vmdk"],
        &["-O", "nonsense"],
    ] {
        for subject in [
            &["-U", "a.qcow2"][..],
            &["-U", "-l", "before", "a.qcow2"],
            &["-U", "v2.qcow2"],
            &["-f", "raw", "-U", "a.raw"],
            &["--size", "0"],
            &["--size", "1000"],
            &["--size", "3.5G"],
        ] {
            same_as_qemu_img(&qemu_img, &[&["measure"], target, subject].concat());
        }
    }
    for arguments in [
        &["measure", "-O", "qcow2"][..],
        &["measure", "-O", "qcow2", "--size", "1G", "a.qcow2"],
        &["measure", "-O", "qcow2", "--size", "x"],
        &["measure", "-O", "qcow2", "--size", "-1"],
        &["measure", "-O", "qcow2", "--size", "1P", "-o", "cluster_size=512"],
        &["measure", "-O", "qcow2", "--size", "1P"],
        &["measure", "-O", "qcow2", "-l", "before", "--size", "1G"],
        &["measure", "-O", "qcow2", "-U", "-l", "nobody", "a.qcow2"],
        &["measure", "-O", "qcow2", "nothing.qcow2"],
    ] {
        same_as_qemu_img(&qemu_img, arguments);
    }
}

#[test]
fn a_snapshot_is_named_by_id_or_name_as_qemu_img_has_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(qemu_img) = QemuImg::find(dir.path()) else { return };
    let data = |byte| ClusterSpec::Data(vec![byte; 65536]);
    // Each is of another size, and one is called as another's id is.
    let mut image = ImageBuilder::v3();
    for (number, (id, name)) in [("1", "first"), ("2", "1"), ("3", "third")].into_iter().enumerate() {
        let mut snapshot = SnapshotSpec::new(id, name).extra(0, 1 << 20, 0);
        snapshot.clusters = (0..=number as u64).map(|at| (at, data(7))).collect();
        image = image.snapshot(snapshot);
    }
    fs::write(dir.path().join("a.qcow2"), image.build()).expect("written");
    for wanted in [
        "1",
        "first",
        "third",
        "nobody",
        "snapshot.id=1",
        "snapshot.name=1",
        "snapshot.id=3",
        "snapshot.name=3",
        "snapshot.id=2,snapshot.name=1",
        "snapshot.id=1,snapshot.name=1",
        "snapshot.colour=1",
        "snapshot.name=1,x=y",
    ] {
        same_as_qemu_img(&qemu_img, &["measure", "-O", "qcow2", "-U", "-l", wanted, "a.qcow2"]);
    }
}
