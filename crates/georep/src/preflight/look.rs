//! Looking at a session, its volumes and its mount.

use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::session::{Session, SessionConfig, Side};
use crate::volume::{BrickHeal, BrickState, VolumeInfo};

use super::{Check, Finding, PreflightOptions, Severity};

/// Looks at everything that has to hold before a run.
///
/// What can't be looked at is a finding too. A finding does not stop anything by itself: the caller decides by its
/// [`Severity`].
///
/// # Errors
/// If the session does not exist or the primary's glusterd can't be asked.
pub fn preflight(session: &Session, options: &PreflightOptions) -> Result<Vec<Finding>, Error> {
    session.status()?;
    let primary = session.volume_info(Side::Primary)?;
    let config = session.config()?;
    let mut look = Look { session, findings: Vec::new() };
    look.session(&config);
    if primary.bricks_per_subvolume > 1 && config.switch("use-meta-volume") != Some(true) {
        let why = "use-meta-volume is off: where one node holds several bricks of a replica set, all their workers are \
                   Active and send the same files at the same time (it needs the volume gluster_shared_storage, made by \
                   'gluster volume set all cluster.enable-shared-storage enable')";
        let remedy = look.set("use-meta-volume", "true");
        look.find(Check::MetaVolume, Severity::Note, why, remedy);
    }
    look.volume(Side::Primary, &primary);
    look.write_behind(&primary);
    match session.volume_info(Side::Secondary) {
        Ok(secondary) => {
            look.volume(Side::Secondary, &secondary);
            look.sharding(&primary, &secondary);
        }
        Err(error) => {
            let host = session.name().secondary_host();
            let why = format!(
                "the secondary volume can't be asked about from here: {error} (glusterd at {host} has to be reachable at \
                 port 24007); whether it is started, sharded alike, whole and read-only was not looked at"
            );
            look.find(Check::SecondaryStarted, Severity::Warn, why, None);
        }
    }
    if let Some(mount) = &options.mount {
        look.mount(mount);
    }
    Ok(look.findings)
}

struct Look<'a> {
    session: &'a Session,
    findings: Vec<Finding>,
}

impl Look<'_> {
    fn find(
        &mut self,
        what: Check,
        severity: Severity,
        explanation: impl Into<String>,
        remedy: Option<String>,
    ) {
        self.findings.push(Finding { what, severity, explanation: explanation.into(), remedy });
    }

    /// The command that sets an option of the session.
    fn set(&self, option: &str, value: &str) -> Option<String> {
        let name = self.session.name();
        let (volume, far) = (name.primary_volume(), name.secondary());
        Some(format!("gluster volume geo-replication {volume} {far} config {option} {value}"))
    }

    fn session(&mut self, config: &SessionConfig) {
        if let Some(user) = self.session.name().user() {
            let why = format!(
                "the session runs as {user} at the far side, who can't set trusted.* xattrs: sharded files arrive without \
                 their sizes; create it anew as root"
            );
            self.find(Check::RootSession, Severity::Refuse, why, None);
        }
        if config.get("sync-method").is_some_and(|m| m != "rsync") {
            let why = "sync-method is not rsync: other methods lose the xattrs that hold the sizes of sharded files";
            let remedy = self.set("sync-method", "rsync");
            self.find(Check::SyncMethod, Severity::Refuse, why, remedy);
        }
        if config.switch("sync-xattrs") == Some(false) {
            let why = "sync-xattrs is off: sharded files arrive without their sizes";
            let remedy = self.set("sync-xattrs", "true");
            self.find(Check::SyncXattrs, Severity::Refuse, why, remedy);
        }
        if config.switch("secondary-access-mount") != Some(true) {
            let why = "secondary-access-mount is off: an rsync from 3.5.0 on at the far side then looks at no file, reports \
                       no error, and the checkpoint is reached with nothing replicated";
            let remedy = self.set(&config.spelling("secondary-access-mount"), "true");
            self.find(Check::SecondaryAccessMount, Severity::Refuse, why, remedy);
        }
        self.rsync_options(config.get("rsync-options").unwrap_or_default());
        if config.switch("log-rsync-performance") != Some(true) {
            let why = "log-rsync-performance is off: whether rsync looked at its files can't be seen (a run sets it \
                       itself unless told not to)";
            let remedy = self.set("log-rsync-performance", "true");
            self.find(Check::LogRsyncPerformance, Severity::Note, why, remedy);
        }
    }

    fn rsync_options(&mut self, set: &str) {
        const WINDOW: &str = "--modify-window=-1";
        const WHOLE: &str = "--whole-file";
        let has = |names: &[&str]| set.split_whitespace().any(|o| names.contains(&o));
        let (window, whole) = (has(&[WINDOW, "-@-1"]), has(&[WHOLE, "-W"]));
        // One command for both, so that the second does not undo the first. The command line takes a value that begins
        // with '-' for an option of its own: hence the blank.
        let missing =
            [(window, WINDOW), (whole, WHOLE)].into_iter().filter(|(has, _)| !has).map(|(_, option)| option);
        let options: Vec<&str> = set.split_whitespace().chain(missing).collect();
        let remedy = self.set("rsync-options", &format!("' {}'", options.join(" ")));
        if !window {
            let why = "rsync-options has no --modify-window=-1: a shard that is written again within the second in which \
                       it was last replicated is not sent again";
            self.find(Check::ModifyWindow, Severity::Warn, why, remedy.clone());
        }
        if !whole {
            let why = "rsync-options has no --whole-file: two sync jobs that send the same shard at once, as workers of one \
                       replica set do, each take what the other is writing for a basis, and the shard can arrive wrong \
                       with the checkpoint reached and no failure counted";
            self.find(Check::WholeFile, Severity::Warn, why, remedy);
        }
    }

    fn volume(&mut self, side: Side, volume: &VolumeInfo) {
        let (started, up, heal) = match side {
            Side::Primary => (Check::PrimaryStarted, Check::BricksUp, Check::HealClean),
            Side::Secondary => (Check::SecondaryStarted, Check::SecondaryBricksUp, Check::SecondaryHealClean),
        };
        let (name, place) = (&volume.name, self.place(side));
        if !volume.started {
            let why = format!("the volume {name}{place} is not started");
            return self.find(started, Severity::Refuse, why, Some(format!("gluster volume start {name}")));
        }
        match self.session.brick_states(side) {
            Ok(states) => {
                let missing = |b: &&crate::volume::Brick| {
                    !states.iter().any(|s: &BrickState| s.name == b.name && s.online)
                };
                let down: Vec<String> =
                    volume.bricks.iter().filter(missing).map(|b| b.name.to_string()).collect();
                if !down.is_empty() {
                    let why = format!(
                        "bricks of {name}{place} don't run: {}; what is written meanwhile is not in their changelogs",
                        down.join(", ")
                    );
                    let remedy = Some(format!("gluster volume start {name} force"));
                    self.find(up, Severity::Refuse, why, remedy);
                }
            }
            Err(error) => {
                let why = format!("whether the bricks of {name}{place} run could not be seen: {error}");
                self.find(up, Severity::Warn, why, None);
            }
        }
        self.heal(side, heal, name, place);
    }

    /// Where a side's commands are to be typed, as an addition to a volume's name.
    fn place(&self, side: Side) -> String {
        match side {
            Side::Primary => String::new(),
            Side::Secondary => format!(" (at {})", self.session.name().secondary_host()),
        }
    }

    fn heal(&mut self, side: Side, check: Check, name: &str, place: String) {
        // A file in use can be listed for a moment: only what is listed every time counts.
        let mut seen = self.session.heal_info(side);
        for _ in 0..2 {
            if seen.as_ref().is_ok_and(|h| !h.is_clean()) {
                self.session.clock().sleep(Duration::from_secs(1));
                seen = self.session.heal_info(side);
            }
        }
        match seen {
            Ok(info) if info.is_clean() => {}
            Ok(info) => {
                let told: Vec<String> = info.bricks.iter().map(told).collect();
                let why = format!(
                    "{name}{place} has something to heal, which is not in the healed brick's changelog: {}",
                    told.join(", ")
                );
                let remedy = Some(format!("gluster volume heal {name}"));
                self.find(check, Severity::Refuse, why, remedy);
            }
            Err(error) => {
                // `heal info` asks the local glusterd for the volume, whatever --remote-host says.
                let severity = if side == Side::Primary { Severity::Warn } else { Severity::Note };
                let why = format!("whether {name}{place} has something to heal could not be seen: {error}");
                self.find(check, severity, why, None);
            }
        }
    }

    fn sharding(&mut self, primary: &VolumeInfo, secondary: &VolumeInfo) {
        let place = self.place(Side::Secondary);
        for (volume, place) in [(primary, ""), (secondary, place.as_str())] {
            if !volume.sharded() {
                let why = format!(
                    "features.shard is off on {}{place}; it has to be on at both sides before any data is written",
                    volume.name
                );
                let remedy = Some(format!("gluster volume set {} features.shard on", volume.name));
                self.find(Check::Sharding, Severity::Refuse, why, remedy);
            }
        }
        let (near, far) = (primary.shard_size(), secondary.shard_size());
        if near != far || near.is_none() {
            let size = |s: Option<u64>| s.map_or_else(|| "unreadable".to_owned(), |s| format!("{s} bytes"));
            let why = format!(
                "features.shard-block-size is {} on {} and {} on {}{place}; it has to be the same before any data is written",
                size(near),
                primary.name,
                size(far),
                secondary.name
            );
            let value = primary.options.get("features.shard-block-size").map_or("64MB", String::as_str);
            let remedy =
                Some(format!("gluster volume set {} features.shard-block-size {value}", secondary.name));
            self.find(Check::ShardSize, Severity::Refuse, why, remedy);
        }
        if secondary.switch("features.read-only") != Some(true) {
            let why = format!(
                "{}{place} can be written to by its clients; what they write there is neither replicated nor undone",
                secondary.name
            );
            let remedy = Some(format!("gluster volume set {} features.read-only on", secondary.name));
            self.find(Check::SecondaryReadOnly, Severity::Warn, why, remedy);
        }
    }

    /// Gluster 11.1's write-behind, above sharding, mixes up writes that are under way at once where a shard begins
    /// (docs/decisions/0012). It is on by default, and passed over for files opened with `O_DIRECT` only where
    /// `performance.strict-o-direct` is on.
    fn write_behind(&mut self, primary: &VolumeInfo) {
        if !primary.sharded() || primary.switch("performance.write-behind") == Some(false) {
            return;
        }
        let name = &primary.name;
        let (severity, whose) = if primary.switch("performance.strict-o-direct") == Some(true) {
            (
                Severity::Warn,
                "disks whose cache is neither none nor directsync, and files copied to the volume,",
            )
        } else {
            (Severity::Refuse, "guests' disks, most of all an overlay that grows,")
        };
        let why = format!(
            "performance.write-behind is on for {name}, which is sharded: where a shard begins, {whose} can get the data \
             of another write, at the primary itself; what is replicated then is the damaged disk"
        );
        let remedy = Some(format!(
            "gluster volume set {name} performance.write-behind off (where guests are writing meanwhile, then \
             gluster volume heal {name}: what they were writing is listed as to be healed)"
        ));
        self.find(Check::WriteBehind, severity, why, remedy);
    }

    fn mount(&mut self, mount: &Path) {
        let shown = mount.display();
        let why = match rustix::fs::statfs(mount) {
            // FUSE_SUPER_MAGIC of statfs(2); its type depends on the platform.
            Ok(fs) if fs.f_type == 0x6573_5546 => return,
            Ok(_) => format!("{shown} is not a FUSE mount: touching it records nothing on the bricks"),
            Err(error) => format!("{shown} can't be looked at: {error}"),
        };
        let volume = self.session.name().primary_volume();
        let remedy = Some(format!("mount -t glusterfs localhost:/{volume} {shown}"));
        self.find(Check::Mount, Severity::Warn, why, remedy);
    }
}

fn told(brick: &BrickHeal) -> String {
    match brick.pending.or(brick.entries) {
        Some(entries) => format!("{} ({entries})", brick.brick),
        None => format!("{} (does not answer)", brick.brick),
    }
}
