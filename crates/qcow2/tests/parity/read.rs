//! Guest data of every image and of every snapshot: the same bytes; the passphrase opens those that are encrypted.
#![cfg(feature = "luks")]

use std::fs;

use stillpoint_qcow2::luks::{Keyring, Passphrase};
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Disk, DiskOptions, Error, Source};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::matrix::{Encryption, PASSPHRASE};
use stillpoint_testkit::image::oracle::QemuImg;

use super::{chain, matrix};

#[test]
fn every_image_and_every_snapshot_has_the_same_bytes() {
    let Some(matrix) = matrix() else { return };
    let scratch = tempfile::tempdir().expect("a directory");
    let raw = scratch.path().join("theirs.raw");
    let keys = Keyring::new([Passphrase::new(PASSPHRASE)]);
    let options = DiskOptions::default().keys(&keys);
    let (mut disks, mut encrypted, mut refused) = (0, 0, 0);
    for image in matrix.images() {
        let chain = chain(matrix, image);
        let top = chain.layers()[0].image().expect("it is one");
        for name in [None].into_iter().chain(image.snapshots.iter().map(Some)) {
            let snapshot = name.map(|name| top.snapshot(name).expect("it is there"));
            let disk = Disk::open_with(&chain, snapshot, &AnyFile, &options);
            if image.features.encryption == Encryption::Aes {
                assert!(matches!(disk, Err(Error::Encrypted(_))), "{}", image.script());
                refused += 1;
                continue;
            }
            let disk = disk.unwrap_or_else(|error| panic!("{error}\n{}", image.script()));
            let mut arguments = vec!["convert", "-U", "-O", "raw"];
            arguments.extend(name.iter().flat_map(|name| ["-l", name.as_str()]));
            let opened = image.open_arguments();
            arguments.extend(opened.iter().map(String::as_str));
            arguments.push(raw.to_str().expect("text"));
            let output = QemuImg::at(matrix.directory()).run(&arguments);
            assert!(output.status.success(), "{output:?}\n{}", image.script());
            let theirs = fs::read(&raw).expect("it was made");
            let mut ours = vec![0xee; usize::try_from(disk.len()).expect("it is short")];
            disk.read_exact_at(0, &mut ours).unwrap_or_else(|error| panic!("{error}\n{}", image.script()));
            // qemu-img gives a snapshot as many bytes as the disk has now; here it has those of its own time.
            let size = snapshot.map_or(top.virtual_size(), |snapshot| top.snapshot_size(snapshot));
            assert_eq!(disk.len(), size, "{name:?}\n{}", image.script());
            assert!(snapshot.is_some() || ours.len() == theirs.len(), "{}", image.script());
            let different = ours.iter().zip(&theirs).position(|(a, b)| a != b);
            assert_eq!(different, None, "{name:?}\n{}", image.script());
            disks += 1;
            encrypted += u32::from(image.features.encryption != Encryption::None);
        }
    }
    println!(
        "compared {disks} disks with qemu-img, {encrypted} of them encrypted; {refused} of the old method refused"
    );
    assert!(disks > 200 && encrypted > 0);
}

/// What a chain stands on, each file by itself: also where an upper layer covers it.
#[test]
fn every_layer_of_a_chain_has_the_same_bytes_by_itself() {
    let Some(matrix) = matrix() else { return };
    let scratch = tempfile::tempdir().expect("a directory");
    let raw = scratch.path().join("theirs.raw");
    let mut layers = 0;
    for image in matrix.images() {
        for layer in chain(matrix, image).layers().iter().skip(1) {
            let name = layer.source().name.to_text();
            let source = Source::open(&name).expect("it is there");
            let below = Chain::open(source, Some(layer.format()), &AnyFile, &ChainOptions::default());
            let disk =
                Disk::open(&below.expect("it was opened before"), &AnyFile).expect("it keeps the rules");
            let to = raw.to_str().expect("text");
            let arguments = ["convert", "-U", "-O", "raw", "-f", layer.format().name(), &name, to];
            let output = QemuImg::at(matrix.directory()).run(arguments);
            assert!(output.status.success(), "{output:?}\n{}", image.script());
            let theirs = fs::read(&raw).expect("it was made");
            let mut ours = vec![0xee; usize::try_from(disk.len()).expect("it is short")];
            disk.read_exact_at(0, &mut ours).unwrap_or_else(|error| panic!("{error}\n{}", image.script()));
            assert!(ours == theirs, "{name}\n{}", image.script());
            layers += 1;
        }
    }
    println!("compared {layers} layers with qemu-img");
    assert!(layers > 50);
}
