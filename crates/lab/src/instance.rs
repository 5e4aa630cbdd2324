//! Names, addresses and directories of one lab.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::config::SiteName;
use crate::error::{LabError, Result};

/// Where labs keep their files: one directory per instance.
pub const ROOT: &str = "/var/lib/stillpoint-lab";

/// Longest instance name: the interface `sp-NAME-a` must fit Linux's 15 characters.
const LONGEST_NAME: usize = 10;

/// Refuses names that would not fit everywhere they go.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let sound = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if sound {
        Ok(())
    } else {
        Err(LabError::Invalid(format!(
            "{name:?} is no instance name: 1 to {LONGEST_NAME} characters of a-z and 0-9, the first a letter"
        )))
    }
}

/// The site's network namespace, and its end of the veth pair: `sp-NAME-a`.
pub(crate) fn link_name(instance: &str, site: SiteName) -> String {
    format!("sp-{instance}-{}", site.letter())
}

/// The site's address in the lab's own /24.
pub(crate) fn address(subnet: u8, site: SiteName) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, subnet, if site == SiteName::A { 1 } else { 2 })
}

/// Every path of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    pub(crate) fn new(instance: &str) -> Self {
        Self { root: Path::new(ROOT).join(instance) }
    }

    /// The instance's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Held while the lab is built or taken down. Outside the instance's directory, which `down` removes.
    pub(crate) fn lock(&self) -> PathBuf {
        let name = self.root.file_name().unwrap_or_default().to_string_lossy();
        self.root.with_file_name(format!(".{name}.lock"))
    }

    /// A site's directory.
    #[must_use]
    pub fn site(&self, site: SiteName) -> PathBuf {
        self.root.join(site.host())
    }

    /// The directory that the site sees in place of one of the machine's.
    pub(crate) fn private(&self, site: SiteName, what: &str) -> PathBuf {
        self.site(site).join("private").join(what)
    }

    /// The sparse image of the site's file system for bricks.
    pub(crate) fn bricks_image(&self, site: SiteName) -> PathBuf {
        self.site(site).join("bricks.img")
    }

    /// Where that file system is mounted, on the host and at both sites alike.
    #[must_use]
    pub fn bricks(&self, site: SiteName) -> PathBuf {
        self.site(site).join("bricks")
    }

    /// One brick of a volume.
    pub(crate) fn brick(&self, site: SiteName, volume: &str, index: usize) -> PathBuf {
        self.bricks(site).join(format!("{volume}-b{index}"))
    }

    /// The program of the site's first process.
    pub(crate) fn init_script(&self, site: SiteName) -> PathBuf {
        self.site(site).join("init.py")
    }

    /// The socket on which the site's first process takes commands.
    pub(crate) fn init_socket(&self, site: SiteName) -> PathBuf {
        self.site(site).join("init.sock")
    }

    /// The guest's kernel, initial file system and console.
    pub(crate) fn guest(&self) -> PathBuf {
        self.root.join("guest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_gives_an_interface_that_linux_takes() {
        assert!(check_name("abcdefghij").is_ok());
        assert!(link_name("abcdefghij", SiteName::B).len() <= 15);
    }

    #[test]
    fn names_that_would_break_a_path_or_an_interface_are_refused() {
        for name in ["", "abcdefghijk", "../x", "a b", "A", "1a", "a-b", "a.b"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_sites_share_a_subnet_of_the_lab_alone() {
        assert_eq!(address(7, SiteName::A).to_string(), "10.77.7.1");
        assert_eq!(address(7, SiteName::B).to_string(), "10.77.7.2");
    }

    #[test]
    fn the_lock_outlives_the_instances_directory() {
        let paths = Paths::new("one");
        assert!(!paths.lock().starts_with(paths.root()));
        assert!(paths.bricks_image(SiteName::A).starts_with(paths.root()));
    }
}
