//! Looking at a session, its volumes, its log and its mount.

use std::path::Path;

use crate::error::Error;
use crate::session::{Session, Side};

use super::{Check, Examination, Finding, Fix, PreflightOptions, Severity};

/// Looks at everything that has to hold before a run: the findings of [`examine`].
///
/// What can't be looked at is a finding too. A finding does not stop anything by itself: the caller decides by its
/// [`Severity`].
///
/// # Errors
/// If the session does not exist or the primary's glusterd can't be asked.
pub fn preflight(session: &Session, options: &PreflightOptions) -> Result<Vec<Finding>, Error> {
    examine(session, options).map(|e| e.findings)
}

/// Looks at everything that can make a checkpoint false or keep it from being reached, and tells what was looked at,
/// too. Nothing is changed.
///
/// # Errors
/// If the session does not exist or the primary's glusterd can't be asked.
pub fn examine(session: &Session, options: &PreflightOptions) -> Result<Examination, Error> {
    let status = session.status()?;
    let primary = session.volume_info(Side::Primary)?;
    let config = session.config()?;
    let mut look =
        Look { session, options, findings: Vec::new(), looked_at: vec![Check::Session, Check::RootSession] };
    look.options_of_session(&config, &primary);
    look.rows(&status, &primary);
    look.volume(Side::Primary, &primary);
    look.changelog(&config, &primary);
    look.write_behind(&primary);
    match session.volume_info(Side::Secondary) {
        Ok(secondary) => {
            look.volume(Side::Secondary, &secondary);
            look.sharding(&primary, &secondary);
            look.space(&secondary);
        }
        Err(error) => {
            let host = session.name().secondary_host();
            let seen = format!(
                "the secondary volume can't be asked about from here: {error} (glusterd at {host} has to be reachable \
                 at port 24007)"
            );
            let matters = "whether it is started, sharded alike, whole and read-only was not looked at";
            look.find(Check::SecondaryStarted, Severity::Warn, seen, matters, Remedy::None);
        }
    }
    look.far_side();
    look.logs();
    if let Some(mount) = &options.mount {
        look.mount(mount);
    }
    Ok(Examination { looked_at: look.looked_at, findings: look.findings })
}

/// How a finding is set right.
pub(super) enum Remedy {
    /// Not by anything that fits in a line.
    None,
    /// By something that a person does or types.
    Do(String),
    /// By the setting of an option.
    Set(Fix),
    /// By the setting of an option, and what is said of it.
    SetAnd(Fix, String),
}

pub(super) struct Look<'a> {
    pub(super) session: &'a Session,
    pub(super) options: &'a PreflightOptions,
    pub(super) findings: Vec<Finding>,
    looked_at: Vec<Check>,
}

impl Look<'_> {
    /// Notes that `what` was looked at.
    pub(super) fn looked(&mut self, what: Check) {
        if !self.looked_at.contains(&what) {
            self.looked_at.push(what);
        }
    }

    pub(super) fn find(
        &mut self,
        what: Check,
        severity: Severity,
        seen: impl Into<String>,
        matters: impl Into<String>,
        remedy: Remedy,
    ) {
        let (remedy, fix) = match remedy {
            Remedy::None => (None, None),
            Remedy::Do(command) => (Some(command), None),
            Remedy::Set(fix) => (Some(self.command(&fix)), Some(fix)),
            Remedy::SetAnd(fix, and) => (Some(format!("{} ({and})", self.command(&fix))), Some(fix)),
        };
        let (seen, matters) = (seen.into(), matters.into());
        self.findings.push(Finding { what, severity, seen, matters, remedy, fix });
    }

    /// The command that sets an option, as it is typed.
    fn command(&self, fix: &Fix) -> String {
        let name = self.session.name();
        let volume = name.primary_volume();
        match fix {
            Fix::Session { option, value } => {
                let far = name.secondary();
                // The command line takes a value that begins with '-' for an option of its own: hence the blank.
                let value = if value.starts_with('-') { format!("' {value}'") } else { value.clone() };
                format!("gluster volume geo-replication {volume} {far} config {option} {value}")
            }
            Fix::PrimaryVolume { option, value } => format!("gluster volume set {volume} {option} {value}"),
        }
    }

    /// Where a side's commands are to be typed, as an addition to a volume's name.
    pub(super) fn place(&self, side: Side) -> String {
        match side {
            Side::Primary => String::new(),
            Side::Secondary => format!(" (at {})", self.session.name().secondary_host()),
        }
    }

    fn mount(&mut self, mount: &Path) {
        self.looked(Check::Mount);
        let shown = mount.display();
        let (seen, matters) = match rustix::fs::statfs(mount) {
            // FUSE_SUPER_MAGIC of statfs(2); its type depends on the platform.
            Ok(fs) if fs.f_type == 0x6573_5546 => return,
            Ok(_) => (format!("{shown} is not a FUSE mount"), "touching it records nothing on the bricks"),
            Err(error) => {
                (format!("{shown} can't be looked at: {error}"), "without it nothing can be touched")
            }
        };
        let volume = self.session.name().primary_volume();
        let remedy = Remedy::Do(format!("mount -t glusterfs localhost:/{volume} {shown}"));
        self.find(Check::Mount, Severity::Warn, seen, matters, remedy);
    }
}
