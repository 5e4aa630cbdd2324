//! A domain without an operating system, whose writes come from QEMU's monitor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use stillpoint_virt::{
    CommandGuard, DomainId, GuardSpawner, Hypervisor, Libvirt, OfflineCommit, QemuImg, Release, Virsh,
};

use crate::daemon::Daemon;
use crate::suite::Stage;

/// Which backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Virsh,
    Libvirt,
    /// Virsh, inside of the namespaces already.
    VirshHere,
    /// The library, inside of the namespaces already.
    LibvirtHere,
}

impl Way {
    pub(crate) fn named(name: &str) -> Self {
        let all = [Self::Virsh, Self::Libvirt, Self::VirshHere, Self::LibvirtHere];
        all.into_iter().find(|way| format!("{way:?}") == name).unwrap()
    }

    /// What the other roles of this program need to reach the daemon.
    pub(crate) fn arguments(self, daemon: &Daemon) -> Vec<String> {
        match self {
            Self::Virsh => vec!["Virsh".into(), daemon.prefix().join(" ")],
            Self::Libvirt => vec!["Libvirt".into(), daemon.uri()],
            Self::VirshHere | Self::LibvirtHere => vec![format!("{self:?}"), "qemu:///system".into()],
        }
    }

    pub(crate) fn connect(self, how: &str) -> Box<dyn Hypervisor> {
        match self {
            Self::Virsh => Box::new(
                Virsh::new("qemu:///system").prefixed(how.split(' ')).deadline(Duration::from_secs(60)),
            ),
            Self::VirshHere => Box::new(Virsh::connect(how).unwrap()),
            Self::Libvirt | Self::LibvirtHere => {
                Box::new(Libvirt::connect(how).unwrap().deadline(Duration::from_secs(60)))
            }
        }
    }
}

/// Guards that are this program in another role.
pub(crate) fn guards(reach: Vec<String>) -> CommandGuard {
    CommandGuard::new(move |domain, _, release: Release, deadline| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("guard").args(&reach).args([
            domain.name.clone(),
            release.to_string(),
            deadline.as_millis().to_string(),
        ]);
        command
    })
}

pub(crate) struct Real<'a> {
    pub(crate) daemon: &'a Daemon,
    hypervisor: Box<dyn Hypervisor>,
    guards: CommandGuard,
    offline: QemuImg,
    pub(crate) domain: DomainId,
    pub(crate) directory: PathBuf,
}

impl<'a> Real<'a> {
    pub(crate) fn new(daemon: &'a Daemon, way: Way) -> Self {
        Self::below(daemon, way, daemon.directory())
    }

    /// With its disks' files below this directory.
    pub(crate) fn below(daemon: &'a Daemon, way: Way, parent: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("real{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let directory = parent.join(&name);
        fs::create_dir(&directory).unwrap();
        let mut disks = String::new();
        for target in ["vda", "vdb"] {
            let path = directory.join(format!("{target}.qcow2"));
            let made = Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2"])
                .arg(&path)
                .arg("16M")
                .status()
                .unwrap();
            assert!(made.success());
            disks.push_str(&format!(
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
                 <target dev='{target}' bus='virtio'/></disk>",
                path.display()
            ));
        }
        // No system to boot: the BIOS halts. `qemu` and not `kvm`: any machine can do it.
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64'>hvm</type></os><devices>{disks}\
             <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>\
             <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
             </devices></domain>"
        );
        let reach = way.arguments(daemon);
        let hypervisor = way.connect(&reach[1]);
        hypervisor.define(&xml).unwrap();
        let domain = hypervisor.find(&name).unwrap();
        let stage =
            Self { daemon, hypervisor, guards: guards(reach), offline: QemuImg::new(), domain, directory };
        stage.start();
        stage
    }
}

impl Real<'_> {
    /// Has the disk's writes outlive QEMU, as a guest's `fsync` does.
    pub(crate) fn flush(&self, target: &str) {
        self.io(target, "flush");
    }

    fn io(&self, target: &str, command: &str) {
        let number = if target == "vda" { 0 } else { 1 };
        let command =
            format!("qemu-io -d /machine/peripheral/virtio-disk{number}/virtio-backend \"{command}\"");
        let done = self.daemon.virsh(&["qemu-monitor-command", &self.domain.name, "--hmp", &command]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(!said.contains("rror") && !said.contains("failed"), "{said}");
    }
}

impl Stage for Real<'_> {
    fn hypervisor(&self) -> &dyn Hypervisor {
        &*self.hypervisor
    }

    fn domain(&self) -> &DomainId {
        &self.domain
    }

    fn guards(&self) -> &dyn GuardSpawner {
        &self.guards
    }

    fn base(&self, target: &str) -> PathBuf {
        self.directory.join(format!("{target}.qcow2"))
    }

    fn write(&self, target: &str, offset: u64, byte: u8) {
        self.io(target, &format!("write -P {byte} {offset} 64k"));
    }

    fn holds(&self, target: &str, offset: u64, byte: u8) -> bool {
        let read = format!("read -P {byte} {offset} 64k");
        let done = Command::new("qemu-io")
            .args(["-r", "-f", "qcow2", "-c", &read])
            .arg(self.base(target))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        done.status.success() && said.contains("65536/65536") && !said.contains("verification failed")
    }

    fn power_off(&self) {
        let done = self.daemon.virsh(&["destroy", &self.domain.name]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn save(&self) {
        let done = self.daemon.virsh(&["managedsave", &self.domain.name]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn in_files(&self, name: &str) -> Option<(usize, usize)> {
        let mut found = (0, 0);
        for target in ["vda", "vdb"] {
            let done = Command::new("qemu-img")
                .args(["info", "--output=json"])
                .arg(self.base(target))
                .output()
                .unwrap();
            let info: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
            let all = info["snapshots"].as_array().cloned().unwrap_or_default();
            for snapshot in all.iter().filter(|snapshot| snapshot["name"] == name) {
                found.0 += 1;
                found.1 += usize::from(snapshot["vm-state-size"].as_u64().unwrap() > 0);
            }
        }
        Some(found)
    }

    fn snapshot_holds(&self, name: &str, target: &str, offset: u64, byte: u8) -> bool {
        let raw = self.directory.join(format!("{name}-{target}.raw"));
        let done = Command::new("qemu-img")
            .args(["convert", "-O", "raw", "-l", &format!("snapshot.name={name}")])
            .args([self.base(target), raw.clone()])
            .status()
            .unwrap();
        let data = fs::read(&raw).unwrap();
        fs::remove_file(&raw).unwrap();
        let offset = usize::try_from(offset).unwrap();
        done.success() && data[offset..offset + 65536].iter().all(|&found| found == byte)
    }

    fn offline(&self) -> &dyn OfflineCommit {
        &self.offline
    }

    fn start(&self) {
        let done = self.daemon.virsh(&["start", &self.domain.name]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Real<'_> {
    fn drop(&mut self) {
        self.daemon.virsh(&["destroy", &self.domain.name]);
        self.daemon.virsh(&["undefine", &self.domain.name]);
    }
}
