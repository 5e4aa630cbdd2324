//! A site: a host of its own, made of namespaces.

mod build;
pub(crate) mod daemons;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) use build::{remove_made_places, start};

use crate::config::{SiteName, VolumeConfig};
use crate::error::{LabError, Result};
use crate::instance::Paths;
use crate::process::{self, ORDINARY, Output};
use crate::state::ProcessId;

/// The search path at the sites: the system's programs alone. gsyncd starts whatever `python3` comes first.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// For temporary files at the sites: what gsyncd leaves behind goes with the site. A short path, as gsyncd puts ssh's
/// control sockets there, whose paths may have 108 bytes (unix(7)).
pub(crate) const TMPDIR: &str = "/run/tmp";

/// One of the lab's two hosts.
#[derive(Debug, Clone)]
pub struct Site {
    pub(crate) name: SiteName,
    pub(crate) instance: String,
    pub(crate) paths: Paths,
    pub(crate) init: ProcessId,
    pub(crate) volume: VolumeConfig,
}

impl Site {
    /// Which site it is.
    #[must_use]
    pub fn name(&self) -> SiteName {
        self.name
    }

    /// A command at this site: in its network, mount and UTS namespaces, with the sites' search path. It takes the
    /// place of `nsenter`, so the child's process id is the program's own. Its working directory is `/`.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(self.enter_arguments()).arg(program);
        self.environment(&mut command);
        command
    }

    /// The same as words to put before a command line: `nsenter …`.
    #[must_use]
    pub fn prefix(&self) -> Vec<String> {
        std::iter::once("nsenter".to_owned()).chain(self.enter_arguments()).collect()
    }

    fn enter_arguments(&self) -> Vec<String> {
        vec![
            "-t".to_owned(),
            self.init.pid.to_string(),
            "-n".to_owned(),
            "-m".to_owned(),
            "-u".to_owned(),
            "--".to_owned(),
        ]
    }

    fn environment(&self, command: &mut Command) {
        command.env("PATH", PATH).env("LC_ALL", "C.UTF-8").env("HOME", "/root");
        command.env("TMPDIR", TMPDIR);
        for name in [
            "PYENV_ROOT",
            "PYENV_VERSION",
            "PYENV_SHELL",
            "VIRTUAL_ENV",
            "PYTHONPATH",
            "PYTHONHOME",
            "LD_LIBRARY_PATH",
        ] {
            command.env_remove(name);
        }
    }

    /// Runs a shell script at this site; its standard output.
    ///
    /// # Errors
    /// The script ended with another status than 0, or not within two minutes.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.sh_within(script, ORDINARY)
    }

    /// The same within a time of the caller's.
    ///
    /// # Errors
    /// The script ended with another status than 0, or not in time.
    pub fn sh_within(&self, script: &str, limit: Duration) -> Result<String> {
        self.check_alive()?;
        let output = process::run(self.command("bash").args(["-c", script]), limit)?;
        Ok(output.stdout)
    }

    /// Runs a program at this site that must succeed; its standard output.
    ///
    /// # Errors
    /// The program ended with another status than 0, or not within two minutes.
    pub fn run<I, S>(&self, program: &str, arguments: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.check_alive()?;
        Ok(process::run(self.command(program).args(arguments), ORDINARY)?.stdout)
    }

    /// `gluster` with prompts off, e.g. `["volume", "info"]`; its standard output.
    ///
    /// # Errors
    /// The command failed, or did not end within two minutes.
    pub fn gluster<I, S>(&self, arguments: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.check_alive()?;
        let mut command = self.command("gluster");
        command.arg("--mode=script").args(arguments);
        let (status, Output { stdout, stderr }) = process::run_any(&mut command, ORDINARY)?;
        // Some of its failures exit with 0 and say so in words only.
        if !status.success() || stdout.contains("command failed") {
            return Err(LabError::Command {
                command: process::describe(&command),
                status: status.to_string(),
                output: format!("{stderr}{stdout}").trim().to_owned(),
            });
        }
        Ok(stdout)
    }

    /// Runs a shell script as a child of the site's first process, for programs that stay: what they leave behind is
    /// that process's to reap, and does not depend on ours.
    ///
    /// # Errors
    /// The script ended with another status than 0, or not in time.
    pub fn daemon(&self, script: &str) -> Result<String> {
        self.check_alive()?;
        let socket = self.paths.init_socket(self.name);
        let io = |what: &'static str| {
            let socket = socket.clone();
            move |source| LabError::Io { what, path: socket, source }
        };
        let mut stream = UnixStream::connect(&socket).map_err(io("connect to"))?;
        stream.set_read_timeout(Some(ORDINARY)).map_err(io("set up"))?;
        stream.write_all(script.as_bytes()).map_err(io("write to"))?;
        stream.shutdown(std::net::Shutdown::Write).map_err(io("write to"))?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(io("read the answer from"))?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        match answer.split_once('\n') {
            Some(("0", output)) => Ok(output.to_owned()),
            Some((status, output)) => Err(LabError::Command {
                command: format!("{script} (at {})", self.name),
                status: format!("exit status: {status}"),
                output: output.trim().to_owned(),
            }),
            None => Err(LabError::Command {
                command: format!("{script} (at {})", self.name),
                status: "no answer".to_owned(),
                output: answer,
            }),
        }
    }

    /// Whether the site's first process still lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        process::alive(self.init.pid) == Some(self.init)
    }

    fn check_alive(&self) -> Result<()> {
        if self.is_alive() {
            Ok(())
        } else {
            Err(LabError::Unhealthy {
                instance: self.instance.clone(),
                problems: format!("{}'s first process is gone", self.name),
            })
        }
    }

    /// The site's file tree as the host reaches it, through its first process.
    #[must_use]
    pub fn host_path(&self, path: impl AsRef<Path>) -> PathBuf {
        let inside = path.as_ref();
        Path::new("/proc")
            .join(self.init.pid.to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Where the site mounts its volume, as the site sees it: `/mnt/gv1`.
    #[must_use]
    pub fn mount(&self) -> PathBuf {
        Path::new("/mnt").join(&self.volume.name)
    }

    /// The same as the host sees it.
    #[must_use]
    pub fn host_mount(&self) -> PathBuf {
        self.host_path(self.mount())
    }

    /// The volume's bricks, in the order in which it was created. The same paths at both sites and on the host.
    #[must_use]
    pub fn brick_dirs(&self) -> Vec<PathBuf> {
        (0..self.volume.layout.bricks())
            .map(|index| self.paths.brick(self.name, &self.volume.name, index))
            .collect()
    }

    /// The file system that holds the site's bricks.
    #[must_use]
    pub fn bricks_file_system(&self) -> PathBuf {
        self.paths.bricks(self.name)
    }

    /// The site's `/var/lib/glusterd`, as the host sees it.
    #[must_use]
    pub fn glusterd_dir(&self) -> PathBuf {
        self.paths.private(self.name, "glusterd")
    }

    /// The site's `/var/log/glusterfs`, as the host sees it.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.paths.private(self.name, "log-glusterfs")
    }

    /// The site's `/var/lib/stillpoint`, as the host sees it.
    #[must_use]
    pub fn stillpoint_dir(&self) -> PathBuf {
        self.paths.private(self.name, "stillpoint")
    }

    /// The process id in a pid file of the site, if that process lives at this site.
    pub(crate) fn pid_in(&self, file: impl AsRef<Path>) -> Option<u32> {
        let text = std::fs::read_to_string(self.host_path(file)).ok()?;
        let pid: u32 = text.trim().parse().ok()?;
        process::alive(pid)?;
        (self.network_of(pid)? == self.network_of(self.init.pid)?).then_some(pid)
    }

    fn network_of(&self, pid: u32) -> Option<process::Namespace> {
        process::Namespace::of(format!("/proc/{pid}/ns/net"))
    }

    /// Kills the process of a pid file and waits until it is gone. `Ok(None)` if it was not running.
    pub(crate) fn kill_pid_file(&self, what: &str, file: impl AsRef<Path>) -> Result<Option<u32>> {
        let Some(pid) = self.pid_in(file) else { return Ok(None) };
        let ours =
            || self.network_of(pid).is_some() && self.network_of(pid) == self.network_of(self.init.pid);
        process::signal_if(pid, rustix::process::Signal::KILL, ours);
        process::wait_for(
            &format!("{what} (process {pid}) to end"),
            Duration::from_secs(20),
            Duration::from_millis(20),
            || Ok(if process::alive(pid).is_none() { Ok(()) } else { Err("alive".to_owned()) }),
        )?;
        Ok(Some(pid))
    }
}
