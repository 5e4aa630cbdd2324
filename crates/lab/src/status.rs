//! What is there of a lab, what is missing, and what its programs say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::config::SiteName;
use crate::error::{IoContext, LabError, Result};
use crate::instance::{self, Paths};
use crate::lab::Lab;
use crate::state::{Phase, State};
use crate::{network, process, site};

/// What `status` tells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The instance's name.
    pub instance: String,
    /// How far it was built; `None` if there is none of this name.
    pub phase: Option<Phase>,
    /// The third number of its 10.77.x.0/24.
    pub subnet: Option<u8>,
    /// What is missing of it, in words; empty if it is whole.
    pub problems: Vec<String>,
    /// Whether the network between the sites is up.
    pub link_up: Option<bool>,
    /// The status of each of the session's workers.
    pub session: Vec<String>,
    /// The guest's state in libvirt's words.
    pub guest: Option<String>,
    /// The last round that the guest has on disk.
    pub guest_counter: Option<u64>,
    /// Each site's bricks.
    pub bricks: BTreeMap<SiteName, Vec<std::path::PathBuf>>,
    /// Each site's mount as the host reaches it.
    pub mounts: BTreeMap<SiteName, std::path::PathBuf>,
    /// Processes at the sites.
    pub processes: usize,
    /// Seconds that each step of `up` took.
    pub timings: Vec<(String, f64)>,
}

impl Lab {
    /// Looks at everything that ought to be there; what is not, in words.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for site in SiteName::ALL.map(|name| self.site(name)) {
            let name = site.name;
            for (what, file) in [
                ("glusterd", site::daemons::GLUSTERD_PID),
                ("sshd", site::daemons::SSHD_PID),
                ("libvirtd", site::daemons::LIBVIRTD_PID),
            ] {
                if site.pid_in(file).is_none() {
                    problems.push(format!("{what} of {name} is not running"));
                }
            }
            for (index, brick) in site.brick_dirs().iter().enumerate() {
                if !matches!(self.faults().brick_pid(name, index), Ok(Some(_))) {
                    problems.push(format!("brick {index} of {name} ({}) is not running", brick.display()));
                }
            }
            if !site.volume_is_mounted() {
                problems.push(format!("{} is not mounted at {name}", site.volume.name));
            }
        }
        problems
    }

    /// Everything about a lab, there or not, whole or not.
    ///
    /// # Errors
    /// The name is none, or the lab's state cannot be read.
    pub fn status(instance: &str) -> Result<Status> {
        instance::check_name(instance)?;
        let paths = Paths::new(instance);
        let state = State::load(&paths.state())?;
        let mut status = Status {
            instance: instance.to_owned(),
            phase: state.as_ref().map(|state| state.phase),
            subnet: state.as_ref().map(|state| state.subnet),
            problems: Vec::new(),
            link_up: None,
            session: Vec::new(),
            guest: None,
            guest_counter: None,
            bricks: BTreeMap::new(),
            mounts: BTreeMap::new(),
            processes: process::living_in(&network::namespaces(instance)).len(),
            timings: state.as_ref().map(|state| state.timings.clone()).unwrap_or_default(),
        };
        match Self::attach(instance) {
            Ok(lab) => lab.fill_status(&mut status),
            Err(LabError::NoSuchLab { .. }) => {}
            Err(error) => status.problems.push(error.to_string()),
        }
        Ok(status)
    }

    fn fill_status(&self, status: &mut Status) {
        status.problems = self.problems();
        status.link_up = self.faults().link_is_up().ok();
        for site in SiteName::ALL.map(|name| self.site(name)) {
            status.bricks.insert(site.name, site.brick_dirs());
            status.mounts.insert(site.name, site.host_mount());
        }
        if self.config().session.is_some() {
            match self.session_states() {
                Ok(states) => status.session = states,
                Err(error) => status.problems.push(error.to_string()),
            }
        }
        if let Some(guest) = self.guest() {
            match guest.state() {
                Ok(state) => status.guest = Some(state),
                Err(error) => status.problems.push(error.to_string()),
            }
            status.guest_counter = guest.counter().ok().flatten();
        }
    }

    /// [`collect_logs`](Self::collect_logs) to [`logs_of`] a test that failed. Says where they are, or why not: the test
    /// itself has said what matters.
    pub fn keep_logs(&self, test: &str) -> PathBuf {
        let directory = logs_of(test);
        match self.collect_logs(&directory) {
            Ok(()) => eprintln!("logs of {test}: {}", directory.display()),
            Err(error) => eprintln!("the logs of {test} could not be collected: {error}"),
        }
        directory
    }

    /// Copies the sites' logs, the guest's console, and what the programs say now, into a directory.
    ///
    /// # Errors
    /// The directory cannot be made. What a program would not tell is left out.
    pub fn collect_logs(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory).io("create", directory)?;
        for site in SiteName::ALL.map(|name| self.site(name)) {
            let place = directory.join(site.name.host());
            fs::create_dir_all(&place).io("create", &place)?;
            for log in ["log-glusterfs", "log-libvirt", "sshd"] {
                let from = self.paths().private(site.name, log);
                let _ = process::host("cp", [Path::new("-r"), &from, &place]);
            }
            let _ = fs::copy(self.paths().site(site.name).join("init.log"), place.join("init.log"));
            let script = "gluster --mode=script volume info; gluster --mode=script volume status; \
                          virsh -c qemu:///system list --all; ps -eo pid,ppid,stat,etime,args; ip address; df -h";
            let said =
                site.sh_within(script, Duration::from_secs(60)).unwrap_or_else(|error| error.to_string());
            fs::write(place.join("now.txt"), said).io("write", place.join("now.txt"))?;
        }
        if self.config().session.is_some() {
            let said = self.session_command(&["status", "detail"]).unwrap_or_else(|error| error.to_string());
            let said = said + &self.session_command(&["config"]).unwrap_or_else(|error| error.to_string());
            let path = directory.join("session.txt");
            fs::write(&path, said).io("write", path)?;
        }
        if let Some(guest) = self.guest() {
            let path = directory.join("console.txt");
            fs::write(&path, guest.console()?).io("write", path)?;
        }
        Ok(())
    }
}

/// Where a test that failed leaves logs: `lab-logs/TEST` in cargo's target directory. `cargo xtask test` prints the tails
/// of what lies there.
#[must_use]
pub fn logs_of(test: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    target.join("lab-logs").join(test.replace("::", "-").replace(['/', ' ', ':', ','], "_"))
}
