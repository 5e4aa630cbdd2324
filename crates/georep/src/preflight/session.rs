//! The session's options.

use super::look::{Look, Remedy};
use super::{Check, Fix, Severity};
use crate::session::SessionConfig;
use crate::volume::VolumeInfo;

/// Options with which rsync leaves out files that are not the same, beside those that gsyncd itself gives.
const LEAVES_OUT: [&str; 17] = [
    "--dry-run",
    "-n",
    "--size-only",
    "--ignore-existing",
    "--update",
    "-u",
    "--append",
    "--append-verify",
    "--max-size",
    "--min-size",
    "--exclude",
    "--exclude-from",
    "--filter",
    "-f",
    "--list-only",
    "--only-write-batch",
    "--cvs-exclude",
];

impl Look<'_> {
    pub(super) fn options_of_session(&mut self, config: &SessionConfig, primary: &VolumeInfo) {
        if let Some(user) = self.session.name().user() {
            let seen = format!("the session runs as {user} at the far side, who can't set trusted.* xattrs");
            let matters = "sharded files arrive without their sizes; create it anew as root";
            self.find(Check::RootSession, Severity::Refuse, seen, matters, Remedy::None);
        }
        self.looked(Check::SyncMethod);
        if config.get("sync-method").is_some_and(|m| m != "rsync") {
            let matters = "other methods lose the xattrs that hold the sizes of sharded files";
            let remedy = Remedy::Set(Fix::session("sync-method", "rsync"));
            self.find(Check::SyncMethod, Severity::Refuse, "sync-method is not rsync", matters, remedy);
        }
        self.looked(Check::SyncXattrs);
        if config.switch("sync-xattrs") == Some(false) {
            let matters = "sharded files arrive without their sizes";
            let remedy = Remedy::Set(Fix::session("sync-xattrs", "true"));
            self.find(Check::SyncXattrs, Severity::Refuse, "sync-xattrs is off", matters, remedy);
        }
        self.looked(Check::SecondaryAccessMount);
        if config.switch("secondary-access-mount") != Some(true) {
            let matters = "an rsync from 3.5.0 on at the far side then looks at no file, reports no error, and the \
                           checkpoint is reached with nothing replicated";
            let remedy = Remedy::Set(Fix::session(&config.spelling("secondary-access-mount"), "true"));
            let seen = "secondary-access-mount is off";
            self.find(Check::SecondaryAccessMount, Severity::Refuse, seen, matters, remedy);
        }
        self.rsync_options(config.get("rsync-options").unwrap_or_default());
        self.looked(Check::LogRsyncPerformance);
        if config.switch("log-rsync-performance") != Some(true) {
            let matters =
                "whether rsync looked at its files can't be seen (a run sets it itself unless told not to)";
            let remedy = Remedy::Set(Fix::session("log-rsync-performance", "true"));
            let seen = "log-rsync-performance is off";
            self.find(Check::LogRsyncPerformance, Severity::Note, seen, matters, remedy);
        }
        self.looked(Check::IgnoreDeletes);
        if config.switch("ignore-deletes") == Some(true) {
            let matters = "files that are deleted at the primary stay at the secondary";
            let remedy = Remedy::Set(Fix::session("ignore-deletes", "false"));
            self.find(Check::IgnoreDeletes, Severity::Note, "ignore-deletes is on", matters, remedy);
        }
        self.looked(Check::MetaVolume);
        if primary.bricks_per_subvolume > 1 && config.switch("use-meta-volume") != Some(true) {
            let matters = "where one node holds several bricks of a replica set, all their workers are Active and send \
                           the same files at the same time (true needs the volume gluster_shared_storage, made by \
                           'gluster volume set all cluster.enable-shared-storage enable')";
            // Not one that is set by us: without that volume every worker would be Faulty.
            let remedy = Remedy::Do(self.typed("use-meta-volume", "true"));
            self.find(Check::MetaVolume, Severity::Note, "use-meta-volume is off", matters, remedy);
        }
    }

    fn typed(&self, option: &str, value: &str) -> String {
        let name = self.session.name();
        let (volume, far) = (name.primary_volume(), name.secondary());
        format!("gluster volume geo-replication {volume} {far} config {option} {value}")
    }

    fn rsync_options(&mut self, set: &str) {
        const WINDOW: &str = "--modify-window=-1";
        const WHOLE: &str = "--whole-file";
        for check in [Check::ModifyWindow, Check::WholeFile, Check::RsyncOptions] {
            self.looked(check);
        }
        let (bad, good): (Vec<&str>, Vec<&str>) = set.split_whitespace().partition(|option| {
            let name = option.split('=').next().unwrap_or(option);
            LEAVES_OUT.contains(&name)
        });
        let has = |names: &[&str]| good.iter().any(|o| names.contains(o));
        let (window, whole) = (has(&[WINDOW, "-@-1"]), has(&[WHOLE, "-W"]));
        // One value for all, so that the second does not undo the first. What leaves files out is not taken away: it
        // may have a value of its own behind it, and somebody had a reason.
        let missing =
            [(window, WINDOW), (whole, WHOLE)].into_iter().filter(|(has, _)| !has).map(|(_, option)| option);
        let options: Vec<&str> = set.split_whitespace().chain(missing).collect();
        let fix = || Remedy::Set(Fix::session("rsync-options", &options.join(" ")));
        if !window {
            let matters = "a shard that is written again within the second in which it was last replicated is not sent \
                           again";
            let seen = "rsync-options has no --modify-window=-1";
            self.find(Check::ModifyWindow, Severity::Warn, seen, matters, fix());
        }
        if !whole {
            let matters = "two sync jobs that send the same shard at once, as workers of one replica set do, each take \
                           what the other is writing for a basis, and the shard can arrive wrong with the checkpoint \
                           reached and no failure counted";
            let seen = "rsync-options has no --whole-file";
            self.find(Check::WholeFile, Severity::Warn, seen, matters, fix());
        }
        if !bad.is_empty() {
            let seen = format!("rsync-options has {}", bad.join(", "));
            let matters = "rsync then leaves out files that are not the same at both sides, and the checkpoint is reached \
                           all the same";
            let remedy = Remedy::Do("take it out of rsync-options".to_owned());
            self.find(Check::RsyncOptions, Severity::Refuse, seen, matters, remedy);
        }
    }
}
