//! The sites' file systems for bricks: sparse XFS images on loop devices, mounted on the host.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{LabConfig, SiteName};
use crate::error::{IoContext, LabError, Result};
use crate::instance::Paths;
use crate::process;

/// Makes and mounts a site's file system, and the brick directories in it.
pub(crate) fn build(config: &LabConfig, paths: &Paths, site: SiteName) -> Result<()> {
    let image = paths.bricks_image(site);
    let place = paths.bricks(site);
    fs::create_dir_all(&place).io("create", &place)?;
    let file = File::create_new(&image).io("create", &image)?;
    file.set_len(u64::from(config.bricks_gib) << 30).io("size", &image)?;
    drop(file);
    // Without discard: the image is a hole already. Inodes of 512 bytes hold Gluster's attributes inline.
    process::host("mkfs.xfs", ["-q", "-K", "-i", "size=512", &image.to_string_lossy()])?;
    process::host("mount", ["-o", "loop,noatime", &image.to_string_lossy(), &place.to_string_lossy()])?;
    let volume = config.volume(site);
    for index in 0..volume.layout.bricks() {
        let brick = paths.brick(site, &volume.name, index);
        fs::create_dir(&brick).io("create", &brick)?;
    }
    Ok(())
}

/// The mount points under a directory, as this process sees them, deepest first.
pub(crate) fn mounts_under(directory: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|place| place.starts_with(directory))
        .collect();
    found.reverse();
    found
}

/// The loop devices whose file lies under a directory.
pub(crate) fn loops_under(directory: &Path) -> Result<Vec<String>> {
    let output = process::host("losetup", ["--list", "--noheadings", "--output", "NAME,BACK-FILE"])?;
    let prefix = format!("{}/", directory.display());
    let devices = output.stdout.lines().filter_map(|line| {
        let (name, file) = line.trim().split_once(char::is_whitespace)?;
        file.trim().starts_with(&prefix).then(|| name.to_owned())
    });
    Ok(devices.collect())
}

/// Unmounts what is mounted under the instance's directory and frees its loop devices.
pub(crate) fn remove(instance: &str, paths: &Paths) -> Result<()> {
    let root = paths.root();
    for place in mounts_under(root) {
        process::wait_for(
            &format!("{} to be unmounted", place.display()),
            Duration::from_secs(20),
            Duration::from_millis(100),
            || Ok(process::host("umount", [&place]).map(|_| ()).map_err(|error| error.to_string())),
        )?;
    }
    // Mounted by `mount -o loop`, a device frees itself; one left by an interrupted mount does not.
    process::wait_for(
        "the loop devices to be free",
        Duration::from_secs(20),
        Duration::from_millis(100),
        || {
            let left = loops_under(root)?;
            for device in &left {
                // Refused while in use; the next look tells.
                let _ = process::host("losetup", ["--detach", device]);
            }
            Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
        },
    )
    .map_err(|error| match error {
        LabError::Timeout { last, .. } => {
            let devices = last.split(", ");
            let holders: BTreeSet<u32> = devices.flat_map(|device| process::mounting(&format!(" {device} "))).collect();
            LabError::Leftovers {
                instance: instance.to_owned(),
                left: format!("{last}, mounted in namespaces of their own by processes {holders:?}; end those, then again"),
            }
        }
        other => other,
    })
}
