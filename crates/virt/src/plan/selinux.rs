//! Whether `SELinux` denies QEMU images on a FUSE mount, such as Gluster's.

use std::fs;
use std::path::Path;

use crate::domain::Domain;

/// Linux's number for FUSE (`FUSE_SUPER_MAGIC`, statfs(2)).
const FUSE: u64 = 0x6573_5546;

/// Whether the domain is confined by `SELinux`, images on FUSE are forbidden to those, and this file is on FUSE.
pub(super) fn denies(domain: &Domain, file: &Path) -> bool {
    domain.security_models.iter().any(|model| model == "selinux")
        && forbids(Path::new("/sys/fs/selinux"))
        && rustix::fs::statfs(file)
            .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| kind == FUSE))
}

/// Whether the kernel enforces, and the boolean `virt_use_fusefs` is off. What can't be read forbids nothing.
fn forbids(selinux: &Path) -> bool {
    let first = |name: &str| fs::read_to_string(selinux.join(name)).ok()?.chars().next();
    first("enforce") == Some('1') && first("booleans/virt_use_fusefs") == Some('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_enforcing_kernel_with_the_boolean_off_forbids() {
        let directory = tempfile::tempdir().unwrap();
        let set = |enforce: &str, boolean: &str| {
            fs::create_dir_all(directory.path().join("booleans")).unwrap();
            fs::write(directory.path().join("enforce"), enforce).unwrap();
            fs::write(directory.path().join("booleans/virt_use_fusefs"), boolean).unwrap();
            forbids(directory.path())
        };
        assert!(!forbids(directory.path()), "no SELinux at all");
        assert!(set("1", "0 0"));
        assert!(!set("0", "0 0"));
        assert!(!set("1", "1 1"));
    }
}
