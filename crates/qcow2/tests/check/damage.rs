//! Images made by qemu-img and qemu-io, and what is done to them.

use std::path::{Path, PathBuf};

use stillpoint_testkit::image::oracle::QemuImg;

use crate::oracle::qemu_io;

const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
pub(crate) const COPIED: u64 = 1 << 63;
pub(crate) const COMPRESSED: u64 = 1 << 62;

/// An image's bytes in memory, with a view of where its structures are.
pub(crate) struct Bytes {
    pub(crate) all: Vec<u8>,
    path: PathBuf,
}

impl Bytes {
    pub(crate) fn read(path: &Path) -> Self {
        Self { all: std::fs::read(path).expect("it is there"), path: path.to_owned() }
    }

    pub(crate) fn write(&self) {
        std::fs::write(&self.path, &self.all).expect("it can be written");
    }

    pub(crate) fn get64(&self, at: u64) -> u64 {
        let at = usize::try_from(at).expect("images are small");
        u64::from_be_bytes(self.all[at..at + 8].try_into().expect("8 bytes"))
    }

    pub(crate) fn get32(&self, at: u64) -> u32 {
        let at = usize::try_from(at).expect("images are small");
        u32::from_be_bytes(self.all[at..at + 4].try_into().expect("4 bytes"))
    }

    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) {
        let at = usize::try_from(at).expect("images are small");
        self.all[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn put64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_be_bytes());
    }

    pub(crate) fn put32(&mut self, at: u64, value: u32) {
        self.put(at, &value.to_be_bytes());
    }

    pub(crate) fn put16(&mut self, at: u64, value: u16) {
        self.put(at, &value.to_be_bytes());
    }

    /// Changes the 64 bits at `at`.
    pub(crate) fn edit(&mut self, at: u64, change: impl FnOnce(u64) -> u64) {
        let value = change(self.get64(at));
        self.put64(at, value);
    }

    pub(crate) fn len(&self) -> u64 {
        self.all.len() as u64
    }

    /// Cuts the file, or makes it longer with zeros.
    pub(crate) fn resize(&mut self, len: u64) {
        self.all.resize(usize::try_from(len).expect("images are small"), 0);
    }

    /// Where the active L1 table is.
    pub(crate) fn l1(&self) -> u64 {
        self.get64(40)
    }

    /// Where the first L2 table is.
    pub(crate) fn l2(&self) -> u64 {
        self.get64(self.l1()) & OFFSET
    }

    /// Where the refcount table is.
    pub(crate) fn reftable(&self) -> u64 {
        self.get64(48)
    }

    /// Where the first refcount block is.
    pub(crate) fn block(&self) -> u64 {
        self.get64(self.reftable()) & !511
    }

    /// Where the snapshot table is.
    pub(crate) fn snapshots(&self) -> u64 {
        self.get64(64)
    }

    /// Where the data of the bitmaps extension is.
    pub(crate) fn bitmaps(&self) -> u64 {
        let mut at = u64::from(self.get32(100));
        while self.get32(at) != 0x2385_2875 {
            at += 8 + u64::from(self.get32(at + 4)).next_multiple_of(8);
        }
        at + 8
    }
}

/// Four clusters of data.
pub(crate) const DATA: &[&str] = &["write -P 1 0 64k", "write -P 2 64k 64k", "write -P 3 1M 128k"];

/// Makes the image `image` of 8 MiB.
pub(crate) fn make(qemu_img: &QemuImg, options: &str, commands: &[&str]) -> Bytes {
    let path = qemu_img.directory().join("image");
    let _ = std::fs::remove_file(&path);
    qemu_img.create("image", options, "8M");
    if !commands.is_empty() {
        qemu_io(qemu_img.directory(), "image", commands);
    }
    Bytes::read(&path)
}
