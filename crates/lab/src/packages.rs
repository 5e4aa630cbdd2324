//! The Debian packages a lab needs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::{IoContext, LabError, Result};
use crate::process::{self, progress};

/// Of the suite that has QEMU 10, libvirt 11.3 and Gluster 11.1: on Debian 12 its backports, on Debian 13 main.
/// QEMU's system emulator comes from the same suite as qemu-utils: Debian 12's own removes the newer qemu-utils.
const NEWER: [&str; 8] = [
    "qemu-system-x86",
    "qemu-utils",
    "libvirt-daemon-system",
    "libvirt-daemon-driver-qemu",
    "libvirt-clients",
    "libvirt-dev",
    "glusterfs-server",
    "glusterfs-client",
];

/// Of Debian's main suite.
const MAIN: [&str; 10] = [
    "attr",
    "xfsprogs",
    "e2fsprogs",
    "openssh-server",
    "openssh-client",
    "rsync",
    "iproute2",
    "util-linux",
    "python3",
    "cpio",
];

const SOURCES: &str = "/etc/apt/sources.list.d/stillpoint-lab-backports.sources";
const LIMIT: Duration = Duration::from_secs(1200);

/// Packages of a list that are not installed.
fn missing<'names>(names: &[&'names str]) -> Result<Vec<&'names str>> {
    let mut command = Command::new("dpkg-query");
    command
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .args(names)
        .env("LC_ALL", "C");
    // Its status is 1 when it knows nothing of one of them.
    let (_, output) = process::run_any(&mut command, process::ORDINARY)?;
    let installed: Vec<&str> =
        output.stdout.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    Ok(names.iter().copied().filter(|name| !installed.contains(name)).collect())
}

fn codename() -> Result<String> {
    let path = Path::new("/etc/os-release");
    let text = fs::read_to_string(path).io("read", path)?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches('"').to_owned())
    };
    if field("ID").as_deref() != Some("debian") {
        return Err(LabError::Machine("it is not Debian; the lab knows Debian 12 and 13".to_owned()));
    }
    Ok(field("VERSION_CODENAME").unwrap_or_default())
}

/// `apt-get update`. Sources that have nothing to do with the lab may fail.
pub(crate) fn update() -> Result<()> {
    process::run_any(Command::new("apt-get").arg("update").env("LC_ALL", "C"), LIMIT)?;
    Ok(())
}

fn install(suite: Option<&str>, names: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]);
    if let Some(suite) = suite {
        command.args(["-t", suite]);
    }
    command.args(names).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    process::run(&mut command, LIMIT)?;
    Ok(())
}

/// The names of the packages that are missing, in words; empty if none is.
///
/// # Errors
/// The machine has no dpkg.
pub fn missing_packages() -> Result<Vec<String>> {
    Ok([missing(&NEWER)?, missing(&MAIN)?].concat().into_iter().map(str::to_owned).collect())
}

/// Installs what a lab needs and is missing, from one suite, and says so before.
///
/// # Errors
/// The machine is no Debian that the lab knows, or the packages can't be had.
pub fn install_missing_packages() -> Result<()> {
    ensure("packages", true)
}

/// Installs what is missing, and says so before.
pub(crate) fn ensure(instance: &str, may_install: bool) -> Result<()> {
    let (newer, main) = (missing(&NEWER)?, missing(&MAIN)?);
    if newer.is_empty() && main.is_empty() {
        return Ok(());
    }
    let names = [newer.as_slice(), main.as_slice()].concat().join(" ");
    if !may_install {
        return Err(LabError::Machine(format!("these Debian packages are missing: {names}")));
    }
    let suite = match codename()?.as_str() {
        "bookworm" => Some("bookworm-backports"),
        "trixie" => None,
        other => {
            return Err(LabError::Machine(format!("Debian {other:?} is unknown; the lab knows 12 and 13")));
        }
    };
    progress(instance, &format!("these Debian packages are missing and will be installed now: {names}"));
    if let Some(suite) = suite
        && !newer.is_empty()
        && !has_source(suite)
    {
        progress(instance, &format!("the suite {suite} is added in {SOURCES}"));
        let mirror = mirror(&source_lists(), "bookworm").ok_or_else(|| {
            LabError::Machine(format!(
                "apt is told of no mirror of bookworm; add {suite} to its sources yourself"
            ))
        })?;
        let stanza = format!(
            "Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        );
        fs::write(SOURCES, stanza).io("write", SOURCES)?;
    }
    let _quiet = NoDaemons::new()?;
    update()?;
    if !newer.is_empty() {
        install(suite, &newer)?;
    }
    if !main.is_empty() {
        install(None, &main)?;
    }
    Ok(())
}

/// Keeps packages from starting their daemons on the machine itself: the lab runs its own. See invoke-rc.d(8).
struct NoDaemons(Option<&'static Path>);

impl NoDaemons {
    fn new() -> Result<Self> {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        match fs::File::create_new(policy) {
            Ok(mut file) => {
                let made = Self(Some(policy));
                file.write_all(b"#!/bin/sh\nexit 101\n").io("write", policy)?;
                file.set_permissions(fs::Permissions::from_mode(0o755)).io("set the mode of", policy)?;
                Ok(made)
            }
            // The machine has a policy of its own.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self(None)),
            Err(error) => Err(error).io("create", policy),
        }
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if let Some(policy) = self.0 {
            let _ = fs::remove_file(policy);
        }
    }
}

/// What apt's lists of sources say.
fn source_lists() -> Vec<String> {
    let listed =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let files =
        listed.filter(|path| path.extension().is_some_and(|kind| kind == "list" || kind == "sources"));
    let files = files.chain([Path::new("/etc/apt/sources.list").to_owned()]);
    files.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// Whether apt is told of a suite anywhere.
fn has_source(suite: &str) -> bool {
    source_lists()
        .iter()
        .any(|text| text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains(suite)))
}

/// The mirror that this machine has a suite from, in either form of apt's sources (sources.list(5)).
fn mirror(lists: &[String], suite: &str) -> Option<String> {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(str::trim).filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    lists.iter().find_map(|list| {
        let one_line = lines(list).into_iter().find_map(|line| {
            let mut words = line.strip_prefix("deb ")?.split_whitespace();
            let uri = words.by_ref().find(|word| word.contains("://"))?;
            (words.next() == Some(suite)).then(|| uri.to_owned())
        });
        let stanza = list.split("\n\n").find_map(|stanza| {
            let field = |name: &str| {
                let line = lines(stanza).into_iter().find(|line| line.starts_with(name))?;
                Some(line[name.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            };
            field("Suites:")?
                .iter()
                .any(|found| found == suite)
                .then(|| field("URIs:")?.into_iter().next())?
        });
        one_line.or(stanza)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_of_a_suite_is_found_in_either_form_of_source() {
        let stanzas = "Types: deb\n# URIs: http://old.example/debian\nURIs: http://one.example/debian\nSuites: bookworm bookworm-updates\n\n\
                       Types: deb\nURIs: http://two.example/security\nSuites: bookworm-security\n";
        let line = "# deb http://old.example/debian bookworm main\ndeb [signed-by=/k.gpg] http://three.example/debian bookworm main\n";
        let of = |list: &str, suite| mirror(&[list.to_owned()], suite);
        assert_eq!(of(stanzas, "bookworm").as_deref(), Some("http://one.example/debian"));
        assert_eq!(of(stanzas, "bookworm-security").as_deref(), Some("http://two.example/security"));
        assert_eq!(of(line, "bookworm").as_deref(), Some("http://three.example/debian"));
        assert_eq!(of(line, "trixie"), None);
    }

    #[test]
    fn a_package_that_does_not_exist_is_missing() {
        match missing(&["base-files", "stillpoint-no-such-package"]) {
            Ok(names) => assert_eq!(names, ["stillpoint-no-such-package"]),
            Err(LabError::Spawn { .. }) => eprintln!("skipped: no dpkg-query"),
            Err(error) => panic!("{error}"),
        }
    }
}
