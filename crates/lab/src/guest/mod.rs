//! The guest: a virtual machine that writes and checksums for ever.

mod assets;
mod check;
mod console;
mod cpio;
mod domain;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

pub use check::{DiskCheck, GuestCheck, check_guest_disks, check_guest_filesystem};
pub use console::BootCheck;

use crate::config::{GuestConfig, SiteName};
use crate::error::{IoContext, LabError, Result};
use crate::lab::Lab;
use crate::process;
use crate::site::Site;

const POLL: Duration = Duration::from_millis(100);

/// The lab's guest at site A.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'lab> {
    site: &'lab Site,
    config: &'lab GuestConfig,
}

impl<'lab> Guest<'lab> {
    pub(crate) fn new(site: &'lab Site, config: &'lab GuestConfig) -> Self {
        Self { site, config }
    }

    /// The domain's name.
    #[must_use]
    pub fn name(&self) -> &'lab str {
        &self.config.name
    }

    /// The disks' files in the order of their targets (vda, vdb, …), as site A sees them.
    #[must_use]
    pub fn disks(&self) -> Vec<PathBuf> {
        let file = |index: usize| self.site.mount().join(self.volume_path(index));
        (0..self.config.disks_mib.len()).map(file).collect()
    }

    /// The same as paths inside the volume: `vm/guest1.qcow2`, `vm/guest1-vdb.qcow2`, ….
    #[must_use]
    pub fn volume_paths(&self) -> Vec<PathBuf> {
        (0..self.config.disks_mib.len()).map(|index| self.volume_path(index)).collect()
    }

    fn volume_path(&self, index: usize) -> PathBuf {
        let name = self.name();
        PathBuf::from("vm").join(match index {
            0 => format!("{name}.qcow2"),
            _ => format!("{name}-{}.qcow2", domain::target(index)),
        })
    }

    fn console_file(&self) -> PathBuf {
        self.site.paths.guest().join(format!("{}.console", self.name()))
    }

    /// Makes the disks and defines the domain.
    pub(crate) fn build(&self) -> Result<()> {
        let directory = self.site.paths.guest();
        fs::create_dir_all(&directory).io("create", &directory)?;
        let (kernel, initrd) = assets::build(&self.site.instance, &directory)?;
        let disks = self.disks();
        for (disk, size) in disks.iter().zip(&self.config.disks_mib) {
            let disk = disk.to_string_lossy();
            self.site.sh(&format!(
                "mkdir -p \"$(dirname {disk})\" && qemu-img create -q -f qcow2 {disk} {size}M"
            ))?;
        }
        let console = self.console_file();
        let parts = domain::Parts { kernel: &kernel, initrd: &initrd, console: &console, disks: &disks };
        let xml = directory.join(format!("{}.xml", self.name()));
        fs::write(&xml, domain::xml(self.config, &parts)).io("write", &xml)?;
        self.virsh(&["define", "--validate", &xml.to_string_lossy()])?;
        Ok(())
    }

    /// Runs `virsh` at site A; its standard output.
    ///
    /// # Errors
    /// The command failed.
    pub fn virsh(&self, arguments: &[&str]) -> Result<String> {
        let all = ["-c", "qemu:///system", "-q"].iter().chain(arguments);
        self.site.run("virsh", all)
    }

    /// The domain's state in libvirt's words: `running`, `shut off`, `paused`, ….
    ///
    /// # Errors
    /// libvirt does not know the domain, or does not answer.
    pub fn state(&self) -> Result<String> {
        Ok(self.virsh(&["domstate", self.name()])?.trim().to_owned())
    }

    /// Whether the domain runs.
    ///
    /// # Errors
    /// As [`Guest::state`].
    pub fn is_running(&self) -> Result<bool> {
        Ok(self.state()? == "running")
    }

    /// Starts the guest, unless it runs, and waits for its first word: what is read from the console from then on is
    /// of this boot.
    ///
    /// # Errors
    /// libvirt refuses, or the kernel does not come up within a minute.
    pub fn start(&self) -> Result<()> {
        if self.is_running()? {
            return Ok(());
        }
        let before = console::boots(&self.console()?);
        self.virsh(&["start", self.name()])?;
        process::wait_for("the guest to boot", Duration::from_secs(60), POLL, || {
            let more = console::boots(&self.console()?) > before;
            Ok(if more { Ok(()) } else { Err(format!("console ends: {:?}", self.console_end())) })
        })
    }

    /// Has the guest finish its round, unmount and turn itself off, and waits for it. It needs the agent.
    ///
    /// # Errors
    /// There is no agent, or the guest did not stop within a minute.
    pub fn stop(&self) -> Result<()> {
        if self.state()? == "shut off" {
            return Ok(());
        }
        if !self.config.agent {
            return Err(LabError::Invalid(
                "a guest without an agent cannot be asked to stop; destroy it".to_owned(),
            ));
        }
        self.wait_for_agent(Duration::from_secs(60))?;
        self.virsh(&["shutdown", self.name(), "--mode", "agent"])?;
        process::wait_for("the guest to stop", Duration::from_secs(60), POLL, || {
            let state = self.state()?;
            Ok(if state == "shut off" { Ok(()) } else { Err(state) })
        })
    }

    /// Pulls the guest's plug.
    ///
    /// # Errors
    /// libvirt refuses.
    pub fn destroy(&self) -> Result<()> {
        if self.state()? != "shut off" {
            self.virsh(&["destroy", self.name()])?;
        }
        Ok(())
    }

    /// Waits until the guest's agent answers.
    ///
    /// # Errors
    /// It did not answer in time.
    pub fn wait_for_agent(&self, limit: Duration) -> Result<()> {
        process::wait_for("the guest's agent to answer", limit, POLL * 3, || {
            let ping = self.virsh(&[
                "qemu-agent-command",
                "--timeout",
                "5",
                self.name(),
                r#"{"execute":"guest-ping"}"#,
            ]);
            Ok(ping.map(|_| ()).map_err(|error| error.to_string()))
        })
    }

    /// Everything the guest has said on its serial console, over all boots.
    ///
    /// # Errors
    /// The console's file cannot be read.
    pub fn console(&self) -> Result<String> {
        let path = self.console_file();
        match fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).replace('\r', "")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).io("read", path),
        }
    }

    /// The last round that is on all disks, by the guest's word since its last boot; `None` before the first.
    ///
    /// # Errors
    /// The console's file cannot be read.
    pub fn counter(&self) -> Result<Option<u64>> {
        Ok(console::counter(&self.console()?))
    }

    /// Waits until the counter is above a number; the counter then.
    ///
    /// # Errors
    /// It did not get there in time.
    pub fn wait_counter_above(&self, number: u64, limit: Duration) -> Result<u64> {
        process::wait_for(&format!("the guest to write beyond round {number}"), limit, POLL, || {
            let counter = self.counter()?;
            if self.qemu_pid().is_none() {
                return Err(LabError::Invalid(format!(
                    "the guest {} is not running; its console ends: {:?}",
                    self.name(),
                    self.console_end()
                )));
            }
            Ok(counter.filter(|&counter| counter > number).ok_or_else(|| match counter {
                Some(counter) => format!("round {counter}"),
                None => format!("no round since its boot; console ends: {:?}", self.console_end()),
            }))
        })
    }

    fn console_end(&self) -> String {
        let text = self.console().unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    /// What the guest found when it checked its files at its last boot, one entry per disk.
    ///
    /// # Errors
    /// The console's file cannot be read.
    pub fn boot_checks(&self) -> Result<Vec<BootCheck>> {
        Ok(console::boot_checks(&self.console()?))
    }

    /// Stops the guest, starts it again and waits for its checks of all disks.
    ///
    /// # Errors
    /// A step failed, or a check did not come out well: [`LabError::Invalid`] holds the guest's words.
    pub fn restart_and_verify(&self, limit: Duration) -> Result<Vec<BootCheck>> {
        self.stop()?;
        self.start()?;
        self.wait_counter_above(0, limit)?;
        self.verified()
    }

    /// The checks of the last boot, all of them well.
    pub(crate) fn verified(&self) -> Result<Vec<BootCheck>> {
        let checks = self.boot_checks()?;
        let all = checks.len() == self.config.disks_mib.len();
        if all && checks.iter().all(|check| check.ok) {
            return Ok(checks);
        }
        let words: Vec<&str> = checks.iter().map(|check| check.line.as_str()).collect();
        Err(LabError::Invalid(format!("the guest's own check failed: {}", words.join("; "))))
    }

    /// The process id of the guest's QEMU on the host, if it runs.
    #[must_use]
    pub fn qemu_pid(&self) -> Option<u32> {
        self.site.pid_in(self.pid_file())
    }

    pub(crate) fn pid_file(&self) -> String {
        format!("/run/libvirt/qemu/{}.pid", self.name())
    }
}

impl Lab {
    /// The guest at site A; `None` if the lab was made without.
    #[must_use]
    pub fn guest(&self) -> Option<Guest<'_>> {
        self.config().guest.as_ref().map(|config| Guest::new(self.site(SiteName::A), config))
    }
}
