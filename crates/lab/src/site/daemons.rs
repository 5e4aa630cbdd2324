//! The programs that stay at a site: glusterd, sshd, virtlogd and libvirtd.

use std::fs;
use std::time::Duration;

use super::{Site, TMPDIR};
use crate::config::SiteName;
use crate::error::{IoContext, Result};
use crate::instance;
use crate::process::{self, ORDINARY};

/// The pid file of glusterd, as the site sees it.
pub(crate) const GLUSTERD_PID: &str = "/run/glusterd.pid";
/// The pid file of libvirtd.
pub(crate) const LIBVIRTD_PID: &str = "/run/libvirtd.pid";
/// The pid file of sshd.
pub(crate) const SSHD_PID: &str = "/run/sshd.pid";

const POLL: Duration = Duration::from_millis(100);

impl Site {
    /// Starts glusterd and waits until it answers.
    pub(crate) fn start_glusterd(&self) -> Result<()> {
        self.daemon(&format!("glusterd --pid-file {GLUSTERD_PID}"))?;
        process::wait_for(
            &format!("{}'s glusterd to answer", self.name),
            Duration::from_secs(60),
            POLL,
            || Ok(self.gluster(["volume", "list"]).map_err(|error| error.to_string())),
        )?;
        Ok(())
    }

    /// Makes root's key of this site, which the other site's root must come to trust.
    pub(crate) fn make_key(&self) -> Result<String> {
        let directory = self.paths.private(self.name, "ssh");
        let key = directory.join("id_ed25519");
        if !key.exists() {
            let name = format!("root@{}", self.name);
            self.run(
                "ssh-keygen",
                ["-q", "-N", "", "-t", "ed25519", "-C", &name, "-f", "/root/.ssh/id_ed25519"],
            )?;
        }
        let public = key.with_extension("pub");
        fs::read_to_string(&public).io("read", &public)
    }

    /// Lets this key's owner log in as root at this site.
    pub(crate) fn trust(&self, public_key: &str) -> Result<()> {
        let file = self.paths.private(self.name, "ssh").join("authorized_keys");
        fs::write(&file, public_key).io("write", &file)?;
        self.run("chmod", ["600", "/root/.ssh/authorized_keys"])?;
        Ok(())
    }

    /// Starts sshd with host keys and a configuration of the site's own.
    pub(crate) fn start_sshd(&self, subnet: u8) -> Result<()> {
        let directory = self.paths.private(self.name, "sshd");
        fs::create_dir_all(&directory).io("create", &directory)?;
        let key = directory.join("host_key");
        if !key.exists() {
            process::host("ssh-keygen", ["-q", "-N", "", "-t", "ed25519", "-f", &key.to_string_lossy()])?;
        }
        let configuration = directory.join("sshd_config");
        let text = format!(
            "ListenAddress {address}\nHostKey {key}\nPidFile {SSHD_PID}\nPermitRootLogin prohibit-password\n\
             PasswordAuthentication no\nUsePAM no\nUseDNS no\nMaxStartups 100:30:200\nMaxSessions 100\n\
             SetEnv TMPDIR={TMPDIR}\nSubsystem sftp internal-sftp\n",
            address = instance::address(subnet, self.name),
            key = key.display(),
        );
        fs::write(&configuration, text).io("write", &configuration)?;
        let log = directory.join("sshd.log");
        self.daemon(&format!("/usr/sbin/sshd -f {} -E {}", configuration.display(), log.display()))?;
        process::wait_for(&format!("{}'s sshd", self.name), Duration::from_secs(20), POLL, || {
            Ok(self.pid_in(SSHD_PID).map(|_| ()).ok_or_else(|| fs::read_to_string(&log).unwrap_or_default()))
        })
    }

    /// Waits until root of this site can log in at the other one, with its ordinary key or the one given.
    pub(crate) fn wait_for_ssh(&self, to: SiteName, key: Option<&str>) -> Result<()> {
        let key = key.map(|key| format!("-i {key} -oIdentitiesOnly=yes")).unwrap_or_default();
        // 255 is ssh's own failure. Any other status is that of the command; push-pem's key is bound to gsyncd, which
        // refuses `true`, and thereby tells that the key was taken.
        let script = format!(
            "ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new -oConnectTimeout=5 {key} root@{to} true; \
             [ $? -ne 255 ]"
        );
        process::wait_for(
            &format!("ssh from {} to {to}", self.name),
            Duration::from_secs(60),
            POLL * 3,
            || {
                Ok(self
                    .sh_within(&script, Duration::from_secs(15))
                    .map(|_| ())
                    .map_err(|error| error.to_string()))
            },
        )
    }

    /// Starts virtlogd, unless it runs, and libvirtd, and waits until it answers.
    pub(crate) fn start_libvirtd(&self) -> Result<()> {
        if self.pid_in("/run/virtlogd.pid").is_none() {
            self.daemon("virtlogd -d -p /run/virtlogd.pid")?;
        }
        self.daemon(&format!("libvirtd -d -p {LIBVIRTD_PID}"))?;
        process::wait_for(&format!("{}'s libvirtd to answer", self.name), ORDINARY, POLL, || {
            let answer = self.run("virsh", ["-c", "qemu:///system", "list", "--all", "--name"]);
            Ok(answer.map(|_| ()).map_err(|error| error.to_string()))
        })
    }
}
