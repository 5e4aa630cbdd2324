//! A file system on which files can share blocks.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::image::oracle;

/// The smallest that mkfs.xfs makes, and a bit; it takes only what is written to it.
const SIZE: u64 = 320 << 20;

/// Mounts `$1` at `$2`, and stays for as long as whoever started it keeps stdin open.
const HOLD: &str = "mount -t xfs -o loop \"$1\" \"$2\" && echo mounted && exec cat";

/// XFS in a loop device, mounted in a mount namespace of its own: when this is dropped, or the test is killed, the
/// namespace ends, and mount and loop device with it.
#[derive(Debug)]
pub struct Xfs {
    holder: Child,
    path: PathBuf,
    _place: TempDir,
}

/// A part of a file, as the file system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostExtent {
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// Where on the device it is, in bytes.
    pub physical: u64,
    /// Whether the file system tells that other files have the same blocks (`FIEMAP_EXTENT_SHARED`).
    pub shared: bool,
}

impl Xfs {
    /// An empty one. `None`, visibly, where one can't be made: without root, or xfsprogs.
    ///
    /// # Panics
    /// When it fails otherwise, or can't be made and [`REQUIRE`](oracle::REQUIRE) says that it must.
    #[must_use]
    pub fn mount() -> Option<Self> {
        if let Some(missing) = missing() {
            oracle::lack(missing);
            return None;
        }
        let place = tempfile::Builder::new().prefix("stillpoint-xfs-").tempdir().expect("a directory");
        let (image, mount) = (place.path().join("image"), place.path().join("mount"));
        fs::create_dir(&mount).expect("a directory");
        File::create(&image).and_then(|file| file.set_len(SIZE)).expect("it can be made");
        let made = Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image).output();
        let made = made.expect("it was found");
        assert!(made.status.success(), "{made:?}");
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", HOLD, "hold"])
            .args([&image, &mount])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was found");
        let mut said = String::new();
        let stdout = holder.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut said).expect("text");
        assert_eq!(said, "mounted\n", "XFS can't be mounted");
        let inside = mount.strip_prefix("/").expect("directories for temporary files are absolute");
        let path = Path::new("/proc").join(holder.id().to_string()).join("root").join(inside);
        Some(Self { holder, path, _place: place })
    }

    /// Its root, as this process reaches it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are in use, once all is brought to disk.
    ///
    /// # Panics
    /// When it can't be asked.
    #[must_use]
    pub fn used(&self) -> u64 {
        let root = File::open(&self.path).expect("it is mounted");
        rustix::fs::syncfs(root.as_fd()).expect("it can be synced");
        let stat = rustix::fs::fstatvfs(&root).expect("it can be asked");
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }

    /// Where the file `name` has blocks with something in them. What was never written has none.
    ///
    /// # Panics
    /// When it can't be asked.
    #[must_use]
    pub fn extents(&self, name: &str) -> Vec<HostExtent> {
        let told = Command::new("xfs_io")
            .args(["-r", "-c", "fsync", "-c", "fiemap -v"])
            .arg(self.path.join(name))
            .output()
            .expect("it was found");
        assert!(told.status.success(), "{told:?}");
        let text = String::from_utf8(told.stdout).expect("text");
        text.lines().skip(2).filter_map(extent).collect()
    }
}

impl Drop for Xfs {
    fn drop(&mut self) {
        // It ends when its stdin does.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Reads `   0: [0..127]:        192..319           128 0x2001`: sectors of 512 bytes, and flags as in
/// `linux/fiemap.h`.
fn extent(line: &str) -> Option<HostExtent> {
    const UNWRITTEN: u64 = 0x800;
    const SHARED: u64 = 0x2000;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, place, physical, count, flags] = words[..] else { return None };
    let first = |range: &str| range.split("..").next()?.parse::<u64>().ok();
    let flags = u64::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
    (flags & UNWRITTEN == 0).then_some(HostExtent {
        offset: first(place.strip_prefix('[')?)? * 512,
        len: count.parse::<u64>().ok()? * 512,
        physical: first(physical)? * 512,
        shared: flags & SHARED != 0,
    })
}

/// What this machine lacks for it.
fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("root, which mounting XFS takes");
    }
    let runs = |program: &str| {
        let mut command = Command::new(program);
        command.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ["mkfs.xfs", "xfs_io", "unshare"].into_iter().find(|program| !runs(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_xfs_io_are_extents_or_holes() {
        let shared = HostExtent { offset: 0, len: 65536, physical: 98304, shared: true };
        assert_eq!(extent("   0: [0..127]:        192..319           128 0x2001"), Some(shared));
        let plain = HostExtent { offset: 65536, len: 4096, physical: 0, shared: false };
        assert_eq!(extent("   1: [128..135]: 0..7 8   0x1"), Some(plain));
        assert_eq!(extent("   2: [136..255]:      hole               120"), None);
        assert_eq!(extent("   3: [256..263]:      320..327             8 0x801"), None, "never written");
    }
}
