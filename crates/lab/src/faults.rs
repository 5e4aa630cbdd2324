//! Faults that the lab can make, and mend.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::config::SiteName;
use crate::error::{IoContext, LabError, Result};
use crate::lab::Lab;
use crate::network;
use crate::process;
use crate::site::Site;
use crate::site::daemons::{GLUSTERD_PID, LIBVIRTD_PID};

/// The file that fills a site's file system for bricks.
const FILL: &str = "lab-fill";

/// The faults of a lab.
#[derive(Debug, Clone, Copy)]
pub struct Faults<'lab> {
    lab: &'lab Lab,
}

impl Lab {
    /// Faults to make and mend.
    #[must_use]
    pub fn faults(&self) -> Faults<'_> {
        Faults { lab: self }
    }
}

impl Faults<'_> {
    fn site(&self, site: SiteName) -> &Site {
        self.lab.site(site)
    }

    /// Takes the network between the sites down: what is sent is lost, nothing is told.
    ///
    /// # Errors
    /// `ip` failed.
    pub fn cut_link(&self) -> Result<()> {
        network::set_link(&self.lab.config().instance, false)
    }

    /// Brings the network between the sites back.
    ///
    /// # Errors
    /// `ip` failed.
    pub fn mend_link(&self) -> Result<()> {
        network::set_link(&self.lab.config().instance, true)
    }

    /// Whether the network between the sites is up.
    ///
    /// # Errors
    /// `ip` failed.
    pub fn link_is_up(&self) -> Result<bool> {
        network::link_is_up(&self.lab.config().instance)
    }

    /// The directory of a brick, by its place in the volume.
    fn brick_dir(&self, site: SiteName, index: usize) -> Result<PathBuf> {
        let bricks = self.site(site).brick_dirs();
        bricks.get(index).cloned().ok_or_else(|| {
            LabError::Invalid(format!(
                "{site} has bricks 0 to {}, not {index}",
                bricks.len().saturating_sub(1)
            ))
        })
    }

    /// The file in which glusterd keeps a brick's process id.
    fn brick_pid_file(&self, site: SiteName, index: usize) -> Result<PathBuf> {
        let brick = self.brick_dir(site, index)?;
        let volume = &self.lab.config().volume(site).name;
        let name = brick.to_string_lossy().trim_start_matches('/').replace('/', "-");
        Ok(PathBuf::from(format!("/run/gluster/vols/{volume}/{site}-{name}.pid")))
    }

    /// The process id of a brick, by its place in the volume; `None` if it does not run.
    ///
    /// # Errors
    /// There is no such brick.
    pub fn brick_pid(&self, site: SiteName, index: usize) -> Result<Option<u32>> {
        Ok(self.site(site).pid_in(self.brick_pid_file(site, index)?))
    }

    /// Kills a brick's process.
    ///
    /// # Errors
    /// There is no such brick, or it does not run.
    pub fn kill_brick(&self, site: SiteName, index: usize) -> Result<u32> {
        let killed = self.site(site).kill_pid_file("the brick", self.brick_pid_file(site, index)?)?;
        killed.ok_or_else(|| LabError::Invalid(format!("brick {index} of {site} is not running")))
    }

    /// Starts the bricks that don't run, and waits for them.
    ///
    /// # Errors
    /// A brick did not start.
    pub fn restart_bricks(&self, site: SiteName) -> Result<()> {
        let volume = &self.lab.config().volume(site).name;
        self.site(site).gluster(["volume", "start", volume, "force"])?;
        let count = self.site(site).brick_dirs().len();
        process::wait_for("the bricks to run", Duration::from_secs(30), Duration::from_millis(100), || {
            for index in 0..count {
                if self.brick_pid(site, index)?.is_none() {
                    return Ok(Err(format!("brick {index} does not run")));
                }
            }
            Ok(Ok(()))
        })
    }

    /// Kills a site's glusterd. Bricks, mounts and the session's monitor go on.
    ///
    /// # Errors
    /// It would not end.
    pub fn kill_glusterd(&self, site: SiteName) -> Result<()> {
        self.site(site).kill_pid_file("glusterd", GLUSTERD_PID).map(|_| ())
    }

    /// Starts a site's glusterd and waits until it answers.
    ///
    /// # Errors
    /// It did not come up.
    pub fn restart_glusterd(&self, site: SiteName) -> Result<()> {
        self.kill_glusterd(site)?;
        self.site(site).start_glusterd()
    }

    /// Kills a site's libvirtd. Guests go on.
    ///
    /// # Errors
    /// It would not end.
    pub fn kill_libvirtd(&self, site: SiteName) -> Result<()> {
        self.site(site).kill_pid_file("libvirtd", LIBVIRTD_PID).map(|_| ())
    }

    /// Starts a site's libvirtd and waits until it answers.
    ///
    /// # Errors
    /// It did not come up.
    pub fn restart_libvirtd(&self, site: SiteName) -> Result<()> {
        self.kill_libvirtd(site)?;
        self.site(site).start_libvirtd()
    }

    /// Kills the guest's QEMU, as a crash of it or of its host would.
    ///
    /// # Errors
    /// There is no guest, or it does not run.
    pub fn kill_guest(&self) -> Result<u32> {
        let guest = self.lab.guest().ok_or_else(|| LabError::Invalid("this lab has no guest".to_owned()))?;
        let killed = self.site(SiteName::A).kill_pid_file("QEMU", guest.pid_file())?;
        killed.ok_or_else(|| LabError::Invalid("the guest is not running".to_owned()))
    }

    /// Fills a site's file system for bricks to the last block, or leaves so many MiB free.
    ///
    /// # Errors
    /// The file system cannot be asked or written.
    pub fn fill(&self, site: SiteName, leave_mib: u64) -> Result<()> {
        let place = self.site(site).bricks_file_system();
        let file = place.join(FILL);
        // In steps: one allocation of all that is left fails for want of a single block of metadata.
        for step in [1 << 30, 64 << 20, 1 << 20, 4 << 10] {
            loop {
                let stat = rustix::fs::statvfs(&place)
                    .map_err(std::io::Error::from)
                    .io("ask for the space of", &place)?;
                let free = (stat.f_bavail * stat.f_frsize).saturating_sub(leave_mib << 20);
                let size = fs::metadata(&file).map_or(0, |metadata| metadata.len());
                if free < step
                    || process::host(
                        "fallocate",
                        ["-o", &size.to_string(), "-l", &step.to_string(), &file.to_string_lossy()],
                    )
                    .is_err()
                {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Frees what [`Faults::fill`] took.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn free(&self, site: SiteName) -> Result<()> {
        let file = self.site(site).bricks_file_system().join(FILL);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).io("remove", file),
            _ => Ok(()),
        }
    }

    /// Sets the session's `secondary-access-mount`. With `false`, Gluster's default, and rsync 3.5.0 at the secondary,
    /// every rsync run transfers nothing, exits with 0, and the checkpoint completes. Workers take the new value at
    /// the session's next start.
    ///
    /// # Errors
    /// There is no session.
    pub fn set_secondary_access_mount(&self, value: bool) -> Result<()> {
        let value = if value { "true" } else { "false" };
        self.lab.session_command(&["config", "secondary-access-mount", value]).map(|_| ())
    }

    /// The processes of the session's workers for a brick of the primary volume.
    fn workers(&self, index: usize) -> Result<Vec<u32>> {
        let brick = self.brick_dir(SiteName::A, index)?.to_string_lossy().into_owned();
        let networks = network::namespaces(&self.lab.config().instance);
        let is_worker = |pid: &u32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = command.split(|&byte| byte == 0).collect();
            words.contains(&&b"worker"[..])
                && words.windows(2).any(|two| two[0] == b"--local-path" && two[1] == brick.as_bytes())
        };
        Ok(process::living_in(&networks).into_iter().filter(is_worker).collect())
    }

    /// Makes the session's worker for a brick of the primary volume stand still, as one does that never hears of a
    /// live changelog: its row stays what it was, mostly `Active`, and it replicates nothing. Returns how many
    /// processes were stopped. The next start of the session has workers of its own.
    ///
    /// # Errors
    /// There is no such brick, or no worker of it runs.
    pub fn starve_worker(&self, index: usize) -> Result<usize> {
        let workers = self.workers(index)?;
        if workers.is_empty() {
            return Err(LabError::Invalid(format!("no worker runs for brick {index}")));
        }
        Ok(workers.into_iter().filter(|&pid| process::signal_if(pid, Signal::STOP, || true)).count())
    }

    /// Lets the workers for a brick go on.
    ///
    /// # Errors
    /// There is no such brick.
    pub fn feed_worker(&self, index: usize) -> Result<usize> {
        let workers = self.workers(index)?;
        Ok(workers.into_iter().filter(|&pid| process::signal_if(pid, Signal::CONT, || true)).count())
    }

    /// Stands in for that no-op where rsync does not have it: at site B, rsync's server side is given an empty
    /// directory for its destination. With `--existing` it then transfers nothing and exits with 0.
    ///
    /// # Errors
    /// The wrapper cannot be put in place.
    pub fn break_rsync(&self) -> Result<()> {
        let site = self.site(SiteName::B);
        self.mend_rsync()?;
        let directory = site.paths.private(SiteName::B, "rsync");
        let empty = directory.join("empty");
        fs::create_dir_all(&empty).io("create", &empty)?;
        let real = directory.join("rsync");
        fs::copy("/usr/bin/rsync", &real).io("copy /usr/bin/rsync to", &real)?;
        let wrapper = directory.join("wrapper");
        let script = format!(
            "#!/bin/bash\n# rsync whose server side writes nothing and reports success.\n\
             if [ \"$1\" = --server ]; then cd {empty} || exit 1; exec {real} \"${{@:1:$#-1}}\" .; fi\n\
             exec {real} \"$@\"\n",
            empty = empty.display(),
            real = real.display(),
        );
        fs::write(&wrapper, script).io("write", &wrapper)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).io("set the mode of", &wrapper)?;
        site.sh(&format!("mount --bind {} /usr/bin/rsync", wrapper.display()))?;
        Ok(())
    }

    /// Puts the real rsync back.
    ///
    /// # Errors
    /// The wrapper cannot be taken away.
    pub fn mend_rsync(&self) -> Result<()> {
        self.site(SiteName::B).sh("while mountpoint -q /usr/bin/rsync; do umount -l /usr/bin/rsync; done")?;
        Ok(())
    }
}
