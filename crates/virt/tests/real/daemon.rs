//! A libvirtd of our own, in a mount and network namespace of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Runs in the namespaces: private directories, then both daemons, then waits to be ended.
const SETUP: &str = r#"
set -e
# The file systems of labs that are up came along; while they are mounted here those labs could not be taken down.
awk -v root="$2/" 'index($5, root) == 1 { print $5 }' /proc/self/mountinfo | while read -r place; do umount -l "$place"; done
cp -a /etc/libvirt/. "$1/etc/" 2>/dev/null || true
rm -rf "$1/etc/qemu/networks/autostart"
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/libvirt
mount --bind "$1/etc" /etc/libvirt
mount --bind "$1/lib" /var/lib/libvirt
mount --bind "$1/log" /var/log/libvirt
mount --bind "$1/cache" /var/cache/libvirt
printf 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nremember_owner = 0\n' > /etc/libvirt/qemu.conf
virtlogd -d -p /run/virtlogd.pid
libvirtd -d -p /run/libvirtd.pid
exec sleep infinity
"#;

pub(crate) struct Daemon {
    directory: TempDir,
    /// Holds little, and is there for the daemon's QEMUs too.
    small: PathBuf,
    holder: Child,
}

impl Daemon {
    /// What this machine lacks for it.
    pub(crate) fn missing() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("not root".into());
        }
        let paths = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(Path::new);
        let programs = ["libvirtd", "virtlogd", "virsh", "qemu-img", "qemu-io", "unshare", "nsenter"];
        let missing = programs.iter().find(|program| !paths.iter().any(|path| path.join(program).exists()));
        missing.map(|program| format!("no {program}"))
    }

    pub(crate) fn start() -> Self {
        // Below /tmp, which both see; unix sockets' paths must be short.
        let directory = tempfile::Builder::new().prefix("stillpoint-virt-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "lib", "log", "cache"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let small = directory.path().join("small");
        fs::create_dir(&small).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(&small).status();
        assert!(mounted.unwrap().success());
        let holder = Command::new("unshare")
            .args(["--mount", "--net", "bash", "-c", SETUP, "setup"])
            .arg(directory.path())
            .arg(stillpoint_lab::ROOT)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { directory, small, holder };
        let until = Instant::now() + Duration::from_secs(60);
        while !daemon.virsh(&["list"]).status.success() {
            assert!(Instant::now() < until, "libvirtd does not answer");
            thread::sleep(Duration::from_millis(200));
        }
        daemon
    }

    /// What runs a command in the namespaces.
    pub(crate) fn prefix(&self) -> Vec<String> {
        let holder = self.holder.id().to_string();
        ["nsenter", "-t", &holder, "-m", "-n", "--"].map(str::to_owned).to_vec()
    }

    /// How the library reaches the daemon from outside of the namespaces.
    pub(crate) fn uri(&self) -> String {
        let holder = self.holder.id();
        format!("qemu+unix:///system?socket=/proc/{holder}/root/run/libvirt/libvirt-sock")
    }

    pub(crate) fn virsh(&self, arguments: &[&str]) -> std::process::Output {
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).args(["virsh", "--quiet", "--connect", "qemu:///system"]).args(arguments);
        command.output().unwrap()
    }

    /// Leaves the daemon's and the domains' logs where those of failed tests are looked for.
    pub(crate) fn keep_logs(&self, test: &str) {
        let kept = stillpoint_lab::logs_of(&format!("virt-{test}"));
        let copied = fs::create_dir_all(&kept).is_ok()
            && Command::new("cp")
                .arg("-r")
                .arg(self.directory.path().join("log"))
                .arg(&kept)
                .status()
                .is_ok_and(|status| status.success());
        println!("logs of {test}: {}{}", kept.display(), if copied { "" } else { " (could not be copied)" });
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A file system of 12 MiB.
    pub(crate) fn small(&self) -> &Path {
        &self.small
    }

    /// Kills libvirtd as a crash would, and starts it again.
    pub(crate) fn crash_and_restart(&self) {
        let pid = self.pid("libvirtd").unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        while rustix::process::test_kill_process(pid).is_ok() && !is_zombie(pid) {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(500));
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).args(["libvirtd", "-d", "-p", "/run/libvirtd.pid"]);
        assert!(command.status().unwrap().success());
    }

    /// Kills a domain's QEMU as the kernel's out-of-memory killer would.
    pub(crate) fn kill_qemu(&self, domain: &str) {
        let path = format!("/proc/{}/root/run/libvirt/qemu/{domain}.pid", self.holder.id());
        let pid = fs::read_to_string(path).unwrap().trim().parse().ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    fn pid(&self, name: &str) -> Option<rustix::process::Pid> {
        let path = PathBuf::from(format!("/proc/{}/root/run/{name}.pid", self.holder.id()));
        let pid = fs::read_to_string(path).ok()?.trim().parse().ok()?;
        rustix::process::Pid::from_raw(pid)
    }
}

/// Whether a process has ended and only waits for its parent to look.
fn is_zombie(pid: rustix::process::Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let listed = self.virsh(&["list", "--name"]);
        for name in String::from_utf8_lossy(&listed.stdout).lines().filter(|name| !name.is_empty()) {
            self.virsh(&["destroy", name]);
        }
        for name in ["libvirtd", "virtlogd"] {
            if let Some(pid) = self.pid(name) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                for _ in 0..100 {
                    if rustix::process::test_kill_process(pid).is_err() || is_zombie(pid) {
                        break;
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.small).status();
    }
}
