//! The two network namespaces and the veth pair between them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::SiteName;
use crate::error::Result;
use crate::instance::{Paths, address, link_name};
use crate::process::{self, Namespace};

fn namespace_file(instance: &str, site: SiteName) -> PathBuf {
    Path::new("/run/netns").join(link_name(instance, site))
}

/// The lab's network namespaces that are there.
pub(crate) fn namespaces(instance: &str) -> Vec<Namespace> {
    SiteName::ALL.into_iter().filter_map(|site| network(instance, site)).collect()
}

/// The network namespaces that the sites' first processes live in. Usually those of [`namespaces`]; but a name can be
/// lost, with `/run/netns` unmounted, while the processes live.
pub(crate) fn namespaces_of_first_processes(paths: &Paths) -> Vec<Namespace> {
    let scripts = SiteName::ALL.map(|site| paths.init_script(site));
    let is_first = |pid: u32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let script = arguments.split(|&byte| byte == 0).nth(1).unwrap_or_default();
        scripts.iter().any(|known| known.as_os_str().as_encoded_bytes() == script)
    };
    let own = Namespace::of("/proc/self/ns/net");
    let found = process::all().filter(|&pid| is_first(pid));
    found
        .filter_map(|pid| Namespace::of(format!("/proc/{pid}/ns/net")))
        .filter(|found| Some(*found) != own)
        .collect()
}

/// A site's network namespace, if it is there.
pub(crate) fn network(instance: &str, site: SiteName) -> Option<Namespace> {
    let found = Namespace::of(namespace_file(instance, site))?;
    // A file that lost its mount lies in the file system of /run/netns, not in that of namespaces.
    (Some(found) != Namespace::of("/proc/self/ns/net") && is_mounted(instance, site)).then_some(found)
}

fn is_mounted(instance: &str, site: SiteName) -> bool {
    let place = namespace_file(instance, site);
    fs::read_to_string("/proc/self/mountinfo").is_ok_and(|text| {
        text.lines().any(|line| line.split(' ').nth(4).is_some_and(|point| Path::new(point) == place))
    })
}

/// Makes both namespaces and joins them.
pub(crate) fn build(instance: &str, subnet: u8) -> Result<()> {
    let (a, b) = (link_name(instance, SiteName::A), link_name(instance, SiteName::B));
    for name in [&a, &b] {
        process::host("ip", ["netns", "add", name])?;
        process::host("ip", ["-n", name, "link", "set", "lo", "up"])?;
    }
    process::host("ip", ["link", "add", &a, "netns", &a, "type", "veth", "peer", "name", &b, "netns", &b])?;
    for site in SiteName::ALL {
        let name = link_name(instance, site);
        let with_prefix = format!("{}/24", address(subnet, site));
        process::host("ip", ["-n", &name, "address", "add", &with_prefix, "dev", &name])?;
        process::host("ip", ["-n", &name, "link", "set", &name, "up"])?;
    }
    Ok(())
}

/// Takes the link down or up again, at site A's end.
pub(crate) fn set_link(instance: &str, up: bool) -> Result<()> {
    let name = link_name(instance, SiteName::A);
    process::host("ip", ["-n", &name, "link", "set", &name, if up { "up" } else { "down" }])?;
    Ok(())
}

/// Whether the link is up at site A's end.
pub(crate) fn link_is_up(instance: &str) -> Result<bool> {
    let name = link_name(instance, SiteName::A);
    let output = process::host("ip", ["-n", &name, "-o", "link", "show", &name])?;
    Ok(output
        .stdout
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .is_some_and(|(flags, _)| flags.split(',').any(|flag| flag == "UP")))
}

/// Removes what is there of the namespaces. Their processes must have ended; the veth pair goes with them.
pub(crate) fn remove(instance: &str) -> Result<()> {
    for site in SiteName::ALL {
        if namespace_file(instance, site).exists() {
            process::host("ip", ["netns", "delete", &link_name(instance, site)])?;
        }
    }
    // iproute2 mounts /run/netns on itself for the first namespace. With the last one gone, so is its use.
    let directory = Path::new("/run/netns");
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none()) {
        while process::host("umount", [directory]).is_ok() {}
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}
