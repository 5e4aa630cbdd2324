//! A restored disk of the guest, judged on the host: the file system by e2fsck, the files by the guest's checksums.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::error::{IoContext, LabError, Result};
use crate::process;

/// ext4's superblock lies at byte 1024 (Linux, `Documentation/filesystems/ext4/super.rst`, as are the fields).
const SUPERBLOCK: u64 = 1024;
/// `s_magic`, 2 bytes little-endian.
const MAGIC_AT: u64 = SUPERBLOCK + 0x38;
const MAGIC: u16 = 0xef53;
/// `s_feature_incompat`, 4 bytes little-endian; bit 2: the journal must be replayed.
const INCOMPAT_AT: u64 = SUPERBLOCK + 0x60;
const INCOMPAT_RECOVER: u32 = 0x4;

const LIMIT: Duration = Duration::from_secs(600);

/// What was found on one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskCheck {
    /// The journal held work, as after a crash: a copy was made, the journal replayed there, and that copy checked.
    /// Otherwise (unmounted, or frozen) the image itself was checked as it is.
    pub journal_replayed: bool,
    /// The guest's counter: the last round that must be there whole.
    pub counter: u64,
    /// Files that fit their checksums.
    pub good: u64,
    /// Files that do not fit their checksums, by name.
    pub bad: Vec<String>,
    /// Rounds that ought to be there by the counter, but have no file or no checksum.
    pub missing: Vec<u64>,
}

impl DiskCheck {
    /// Whether every file is there and fits.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.bad.is_empty() && self.missing.is_empty()
    }
}

/// What was found on all disks of one point in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestCheck {
    /// One entry per disk, in the order given.
    pub disks: Vec<DiskCheck>,
    /// The disks are of one instant: the guest writes them one after another, so each counter is that of the disk
    /// before it, or one less, and the last at most one behind the first.
    pub same_instant: bool,
}

impl GuestCheck {
    /// Whether every disk is whole and all are of one instant.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.same_instant && self.disks.iter().all(DiskCheck::is_whole)
    }
}

/// Checks the disks of one point in time (raw images, in the order vda, vdb, …) and that they belong together.
///
/// # Errors
/// As [`check_guest_filesystem`].
pub fn check_guest_disks<P: AsRef<Path>>(images: &[P], keep_files: u32) -> Result<GuestCheck> {
    let disks: Vec<DiskCheck> = images
        .iter()
        .map(|image| check_guest_filesystem(image.as_ref(), keep_files))
        .collect::<Result<_>>()?;
    let counters: Vec<u64> = disks.iter().map(|disk| disk.counter).collect();
    let falling = counters.windows(2).all(|pair| matches!(pair, [earlier, later] if later <= earlier));
    let spread = counters.iter().max().zip(counters.iter().min()).map_or(0, |(most, least)| most - least);
    Ok(GuestCheck { disks, same_instant: falling && spread <= 1 })
}

/// Checks one disk of the guest, a raw image: `e2fsck -fn` must find nothing, then every file is compared with the
/// checksum the guest wrote beside it. `keep_files` is the guest's [`keep_files`](crate::GuestConfig::keep_files).
///
/// The image is only read. Scratch files go beside it.
///
/// # Errors
/// The image holds no ext4 file system, e2fsck finds faults in it, or a program is missing.
pub fn check_guest_filesystem(image: &Path, keep_files: u32) -> Result<DiskCheck> {
    let directory = image.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch =
        tempfile::Builder::new().prefix(".guest-check-").tempdir_in(directory).io("create", directory)?;
    let replay = needs_replay(image)?;
    let copy = scratch.path().join("replayed.img");
    let checked = if replay {
        process::host("cp", ["--sparse=always", "--reflink=auto", &text(image), &text(&copy)])?;
        // 1: errors corrected, which a replayed journal counts as.
        let mut command = Command::new("e2fsck");
        let (status, output) =
            process::run_any(command.args(["-fy", "-E", "journal_only"]).arg(&copy), LIMIT)?;
        if !matches!(status.code(), Some(0 | 1)) {
            return Err(LabError::Command {
                command: process::describe(&command),
                status: status.to_string(),
                output: output.stderr + &output.stdout,
            });
        }
        copy.as_path()
    } else {
        image
    };
    process::run(Command::new("e2fsck").args(["-f", "-n"]).arg(checked), LIMIT)?;

    let files = scratch.path().join("files");
    fs::create_dir(&files).io("create", &files)?;
    process::run(
        Command::new("debugfs").args(["-R", &format!("rdump / {}", text(&files))]).arg(checked),
        LIMIT,
    )?;
    let check = compare(&files, keep_files)?;
    Ok(DiskCheck { journal_replayed: replay, ..check })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn needs_replay(image: &Path) -> Result<bool> {
    let file = File::open(image).io("open", image)?;
    let mut magic = [0; 2];
    let mut incompat = [0; 4];
    file.read_exact_at(&mut magic, MAGIC_AT).io("read the superblock of", image)?;
    file.read_exact_at(&mut incompat, INCOMPAT_AT).io("read the superblock of", image)?;
    if u16::from_le_bytes(magic) != MAGIC {
        return Err(LabError::Invalid(format!("{} holds no ext4 file system", image.display())));
    }
    Ok(u32::from_le_bytes(incompat) & INCOMPAT_RECOVER != 0)
}

/// Compares the files of one disk, copied out of it.
fn compare(files: &Path, keep_files: u32) -> Result<DiskCheck> {
    let counter_file = files.join("counter");
    let counter = match fs::read_to_string(&counter_file) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| LabError::Invalid(format!("the guest's counter is no number: {text:?}")))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0_u64,
        Err(error) => return Err(error).io("read", counter_file),
    };
    let mut sums = String::new();
    let mut names = Vec::new();
    for entry in fs::read_dir(files).io("list", files)? {
        let path = entry.io("list", files)?.path();
        if path.extension().is_some_and(|extension| extension == "sum") {
            sums += &fs::read_to_string(&path).io("read", &path)?;
            names.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    let list = files.join("sums.list");
    fs::write(&list, &sums).io("write", &list)?;
    let mut good = 0;
    let mut bad = Vec::new();
    if !sums.is_empty() {
        let mut command = Command::new("sha256sum");
        command.args(["--check", "--strict"]).arg(&list).current_dir(files).env("LC_ALL", "C");
        let (_, output) = process::run_any(&mut command, LIMIT)?;
        for line in output.stdout.lines() {
            match line.rsplit_once(": ") {
                Some((_, "OK")) => good += 1,
                Some((name, _)) => bad.push(name.to_owned()),
                None => {}
            }
        }
        // A checksum file that sha256sum cannot make sense of is not among its lines.
        let seen = u64::try_from(names.len()).unwrap_or(u64::MAX);
        let named = good + u64::try_from(bad.len()).unwrap_or(u64::MAX);
        if named != seen {
            bad.push(format!("{} checksum files that cannot be read", seen.abs_diff(named)));
        }
    }
    let first = counter.saturating_sub(u64::from(keep_files)) + 1;
    let there = |round: u64| {
        let round = round.to_string();
        names.contains(&round) && files.join(format!("{round}.data")).is_file()
    };
    let missing = (first..=counter).filter(|&round| !there(round)).collect();
    Ok(DiskCheck { journal_replayed: false, counter, good, bad, missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_round(directory: &Path, round: u64, content: &[u8]) {
        let name = format!("{round}.data");
        fs::write(directory.join(&name), content).unwrap();
        let output = Command::new("sha256sum").arg(&name).current_dir(directory).output().unwrap();
        assert!(output.status.success());
        fs::write(directory.join(format!("{round}.sum")), output.stdout).unwrap();
    }

    fn rounds(to: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for round in 1..=to {
            write_round(dir.path(), round, format!("content of {round}").as_bytes());
        }
        fs::write(dir.path().join("counter"), format!("{to}\n")).unwrap();
        dir
    }

    #[test]
    fn whole_files_are_counted() {
        let dir = rounds(5);
        let check = compare(dir.path(), 10).unwrap();
        assert!(check.is_whole(), "{check:?}");
        assert_eq!((check.counter, check.good), (5, 5));
    }

    #[test]
    fn a_changed_file_is_named() {
        let dir = rounds(3);
        fs::write(dir.path().join("2.data"), "other").unwrap();
        let check = compare(dir.path(), 10).unwrap();
        assert_eq!(check.bad, ["2.data"]);
        assert!(!check.is_whole());
    }

    #[test]
    fn a_lost_round_within_those_kept_is_missing_and_an_older_one_is_not() {
        let dir = rounds(6);
        for name in ["1.sum", "1.data", "5.sum", "5.data"] {
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        let check = compare(dir.path(), 4).unwrap();
        assert_eq!(check.missing, [5]);
    }

    #[test]
    fn a_counter_behind_its_files_is_whole_but_one_ahead_is_not() {
        let dir = rounds(4);
        fs::write(dir.path().join("counter"), "3\n").unwrap();
        assert!(compare(dir.path(), 10).unwrap().is_whole());
        fs::write(dir.path().join("counter"), "5\n").unwrap();
        assert_eq!(compare(dir.path(), 10).unwrap().missing, [5]);
    }

    #[test]
    fn an_empty_checksum_file_is_not_overlooked() {
        let dir = rounds(3);
        fs::write(dir.path().join("3.sum"), "").unwrap();
        assert!(!compare(dir.path(), 10).unwrap().is_whole());
    }
}
