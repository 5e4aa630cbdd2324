//! The guest's domain XML.

use std::path::Path;

use crate::config::GuestConfig;

/// The name that the guest gives its disk at an index: vda, vdb, ….
pub(crate) fn target(index: usize) -> String {
    // GuestConfig allows 8 disks.
    format!("vd{}", char::from(b'a'.saturating_add(u8::try_from(index).unwrap_or(25))))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

/// What the domain is made of, besides its configuration.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: &'a Path,
    pub(crate) console: &'a Path,
    /// The disks' files as the site sees them, in the order of the targets.
    pub(crate) disks: &'a [std::path::PathBuf],
}

/// The XML to define.
///
/// Of type `qemu`: hardware virtualisation answers but hangs on some machines that are themselves guests.
pub(crate) fn xml(config: &GuestConfig, parts: &Parts<'_>) -> String {
    let cmdline = format!(
        "console=ttyS0 quiet loglevel=3 panic=-1 random.trust_cpu=on lab.pause_ms={} lab.keep={} lab.largest_kib={}",
        config.pause_ms, config.keep_files, config.largest_file_kib
    );
    let mut disks = String::new();
    for (index, file) in parts.disks.iter().enumerate() {
        disks += &format!(
            "    <disk type='file' device='disk'>\n      <driver name='qemu' type='qcow2' cache='none'/>\n      \
             <source file='{}'/>\n      <target dev='{}' bus='virtio'/>\n    </disk>\n",
            escape(&file.to_string_lossy()),
            target(index)
        );
    }
    let agent = if config.agent {
        "    <channel type='unix'>\n      <target type='virtio' name='org.qemu.guest_agent.0'/>\n    </channel>\n"
    } else {
        ""
    };
    format!(
        "<domain type='qemu'>\n  <name>{name}</name>\n  <memory unit='MiB'>{memory}</memory>\n  <vcpu>1</vcpu>\n  \
         <os>\n    <type arch='x86_64' machine='pc'>hvm</type>\n    <kernel>{kernel}</kernel>\n    \
         <initrd>{initrd}</initrd>\n    <cmdline>{cmdline}</cmdline>\n  </os>\n  \
         <features><acpi/></features>\n  <cpu mode='maximum'/>\n  <on_poweroff>destroy</on_poweroff>\n  \
         <on_reboot>destroy</on_reboot>\n  <on_crash>destroy</on_crash>\n  <devices>\n    \
         <emulator>/usr/bin/qemu-system-x86_64</emulator>\n{disks}{agent}    <serial type='file'>\n      \
         <source path='{console}' append='on'/>\n      <target port='0'/>\n    </serial>\n    \
         <controller type='usb' model='none'/>\n    <memballoon model='none'/>\n  </devices>\n</domain>\n",
        name = escape(&config.name),
        memory = config.memory_mib,
        kernel = escape(&parts.kernel.to_string_lossy()),
        initrd = escape(&parts.initrd.to_string_lossy()),
        console = escape(&parts.console.to_string_lossy()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(config: &GuestConfig) -> String {
        let disks = [Path::new("/mnt/gv1/a&b.qcow2").to_owned(), Path::new("/mnt/gv1/c.qcow2").to_owned()];
        let parts = Parts {
            kernel: Path::new("/k"),
            initrd: Path::new("/i"),
            console: Path::new("/c"),
            disks: &disks,
        };
        xml(config, &parts)
    }

    #[test]
    fn every_disk_is_there_uncached_and_by_its_own_target() {
        let text = sample(&GuestConfig::default());
        assert_eq!(text.matches("cache='none'").count(), 2);
        assert!(text.contains("dev='vda'") && text.contains("dev='vdb'"));
        assert!(text.contains("a&amp;b.qcow2"));
    }

    #[test]
    fn the_agents_channel_is_there_when_wanted_only() {
        assert!(sample(&GuestConfig::default()).contains("org.qemu.guest_agent.0"));
        assert!(!sample(&GuestConfig { agent: false, ..GuestConfig::default() }).contains("guest_agent"));
    }

    #[test]
    fn the_xml_is_what_libvirt_calls_a_domain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("domain.xml");
        std::fs::write(&path, sample(&GuestConfig::default())).unwrap();
        match std::process::Command::new("virt-xml-validate").arg(&path).arg("domain").output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(_) => {
                assert!(
                    std::env::var_os("STILLPOINT_REQUIRE_ORACLES").is_none(),
                    "virt-xml-validate is required"
                );
                eprintln!("skipped: no virt-xml-validate");
            }
        }
    }
}
