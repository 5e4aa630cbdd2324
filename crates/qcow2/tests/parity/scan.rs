//! Scanning every disk gives what reading it gives, each stored byte once, on any number of threads.
#![cfg(feature = "luks")]

use std::sync::Mutex;

use stillpoint_qcow2::luks::{Keyring, Passphrase};
use stillpoint_qcow2::{AnyFile, Disk, DiskOptions, Error, ScanOptions};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::matrix::{Encryption, PASSPHRASE};

use super::{chain, matrix};

#[test]
fn every_disk_scans_to_what_it_reads_as() {
    let Some(matrix) = matrix() else { return };
    let keys = Keyring::new([Passphrase::new(PASSPHRASE)]);
    let options = DiskOptions::default().keys(&keys);
    let images = matrix.images().iter().filter(|image| image.features.encryption != Encryption::Aes);
    // A part of them, of every group: without optimisation all take too long.
    for (number, image) in images.step_by(4).enumerate() {
        let chain = chain(matrix, image);
        let top = chain.layers()[0].image().expect("it is one");
        for name in [None].into_iter().chain(image.snapshots.iter().map(Some)) {
            let snapshot = name.map(|name| top.snapshot(name).expect("it is there"));
            let disk = Disk::open_with(&chain, snapshot, &AnyFile, &options).expect("it is sound");
            let mut read = vec![0; usize::try_from(disk.len()).expect("it is short")];
            disk.read_exact_at(0, &mut read).expect("it is sound");
            let scanned = Mutex::new((vec![0; read.len()], vec![false; read.len() / 512]));
            let given = disk.scan(&ScanOptions::default().threads(1 + number % 3), |at, bytes| {
                let at = usize::try_from(at).expect("it is short");
                let mut scanned = scanned.lock().expect("no thread panicked");
                scanned.0[at..at + bytes.len()].copy_from_slice(bytes);
                for sector in &mut scanned.1[at / 512..(at + bytes.len()) / 512] {
                    assert!(!std::mem::replace(sector, true), "given twice at {at}\n{}", image.script());
                }
                Ok::<_, Error>(())
            });
            given.unwrap_or_else(|error| panic!("{error}\n{}", image.script()));
            let (bytes, _) = scanned.into_inner().expect("no thread panicked");
            let different = bytes.iter().zip(&read).position(|(a, b)| a != b);
            assert_eq!(different, None, "{name:?}\n{}", image.script());
        }
    }
}
