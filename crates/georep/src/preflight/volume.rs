//! Both volumes: started, whole, sharded alike, and nobody moving their files.

use std::time::Duration;

use super::look::{Look, Remedy};
use super::{Check, Fix, Severity};
use crate::session::{SessionConfig, Side};
use crate::volume::{Brick, BrickHeal, BrickSpace, VolumeInfo, VolumeState};

impl Look<'_> {
    pub(super) fn volume(&mut self, side: Side, volume: &VolumeInfo) {
        let (started, up, heal) = match side {
            Side::Primary => (Check::PrimaryStarted, Check::BricksUp, Check::HealClean),
            Side::Secondary => (Check::SecondaryStarted, Check::SecondaryBricksUp, Check::SecondaryHealClean),
        };
        let (name, place) = (&volume.name, self.place(side));
        self.looked(started);
        if !volume.started {
            let remedy = Remedy::Do(format!("gluster volume start {name}"));
            let seen = format!("the volume {name}{place} is not started");
            return self.find(started, Severity::Refuse, seen, "nothing can be replicated", remedy);
        }
        match self.session.volume_state(side) {
            Ok(state) => {
                self.bricks(up, volume, &state, &place);
                self.tasks(side, volume, &state, &place);
            }
            Err(error) => {
                let seen = format!("whether the bricks of {name}{place} run could not be seen: {error}");
                let matters = "what is written while a brick is down is not in its changelog";
                self.find(up, Severity::Warn, seen, matters, Remedy::None);
            }
        }
        self.heal(side, heal, name, &place);
    }

    fn bricks(&mut self, up: Check, volume: &VolumeInfo, state: &VolumeState, place: &str) {
        self.looked(up);
        let name = &volume.name;
        let missing = |b: &&Brick| !state.bricks.iter().any(|s| s.name == b.name && s.online);
        let down: Vec<String> = volume.bricks.iter().filter(missing).map(|b| b.name.to_string()).collect();
        if !down.is_empty() {
            let seen = format!("bricks of {name}{place} don't run: {}", down.join(", "));
            let matters = "what is written meanwhile is not in their changelogs";
            let remedy = Remedy::Do(format!("gluster volume start {name} force"));
            self.find(up, Severity::Refuse, seen, matters, remedy);
        }
    }

    fn tasks(&mut self, side: Side, volume: &VolumeInfo, state: &VolumeState, place: &str) {
        let check = match side {
            Side::Primary => Check::Tasks,
            Side::Secondary => Check::SecondaryTasks,
        };
        self.looked(check);
        for task in state.tasks.iter().filter(|t| t.in_progress) {
            let name = &volume.name;
            let seen = format!("{} of {name}{place} is under way", task.kind);
            let matters = "files move between bricks meanwhile, which is not replicated as such, and where they are is \
                           not what it was a moment ago";
            let remedy = Remedy::Do(format!(
                "wait for its end ('gluster volume status {name} tasks'), and commit a removal of bricks"
            ));
            self.find(check, Severity::Refuse, seen, matters, remedy);
        }
    }

    fn heal(&mut self, side: Side, check: Check, name: &str, place: &str) {
        // A file in use can be listed for a moment: only what is listed every time counts.
        let ask = |look: &Self| match (side, &look.options.far) {
            (Side::Secondary, Some(far)) => look.session.heal_info_there(far.as_ref()),
            _ => look.session.heal_info(side),
        };
        let mut seen = ask(self);
        for _ in 0..2 {
            if seen.as_ref().is_ok_and(|h| !h.is_clean()) {
                self.session.clock().sleep(Duration::from_secs(1));
                seen = ask(self);
            }
        }
        match seen {
            Ok(info) if info.is_clean() => self.looked(check),
            Ok(info) => {
                self.looked(check);
                let told: Vec<String> = info.bricks.iter().map(told).collect();
                let seen = format!("{name}{place} has something to heal: {}", told.join(", "));
                let matters = "what a brick missed is not in its changelog, nor is the heal";
                let remedy = Remedy::Do(format!("gluster volume heal {name}"));
                self.find(check, Severity::Refuse, seen, matters, remedy);
            }
            Err(error) => {
                // `heal info` asks the local glusterd for the volume, whatever --remote-host says.
                let severity = if side == Side::Primary { Severity::Warn } else { Severity::Note };
                let seen = format!("whether {name}{place} has something to heal could not be seen: {error}");
                let matters = "what a brick missed is not in its changelog, nor is the heal";
                self.find(check, severity, seen, matters, Remedy::None);
            }
        }
    }

    /// A brick refuses writes once its file system has no more free than `storage.reserve` (1 % by default).
    pub(super) fn space(&mut self, secondary: &VolumeInfo) {
        let (name, place) = (&secondary.name, self.place(Side::Secondary));
        let told = match self.session.brick_space(Side::Secondary) {
            Ok(told) if !told.is_empty() => told,
            Ok(_) | Err(_) => {
                let seen = format!("how much room the bricks of {name}{place} have could not be seen");
                let matters = "without room there, changes are tried again and then given up";
                return self.find(Check::SecondarySpace, Severity::Note, seen, matters, Remedy::None);
            }
        };
        self.looked(Check::SecondarySpace);
        let percent = |b: &BrickSpace| b.free.saturating_mul(100).checked_div(b.total).unwrap_or(100);
        for (severity, least, most) in [(Severity::Refuse, 0, 2), (Severity::Warn, 2, 5)] {
            let short: Vec<String> = told
                .iter()
                .filter(|b| (least..most).contains(&percent(b)))
                .map(|b| format!("{} ({} of {} MiB)", b.name, b.free >> 20, b.total >> 20))
                .collect();
            if !short.is_empty() {
                let seen = format!("bricks of {name}{place} have little room left: {}", short.join(", "));
                let matters = "a brick refuses writes before it is full (storage.reserve): changes are tried again, given \
                               up, and the checkpoint is reached all the same";
                let remedy = Remedy::Do(format!("make room there, or add bricks to {name}"));
                self.find(Check::SecondarySpace, severity, seen, matters, remedy);
            }
        }
    }

    pub(super) fn sharding(&mut self, primary: &VolumeInfo, secondary: &VolumeInfo) {
        for check in [Check::Sharding, Check::ShardSize, Check::SecondaryReadOnly] {
            self.looked(check);
        }
        let place = self.place(Side::Secondary);
        for (volume, place) in [(primary, ""), (secondary, place.as_str())] {
            if !volume.sharded() {
                let seen = format!("features.shard is off on {}{place}", volume.name);
                let matters = "it has to be on at both sides before any data is written";
                let remedy = Remedy::Do(format!("gluster volume set {} features.shard on", volume.name));
                self.find(Check::Sharding, Severity::Refuse, seen, matters, remedy);
            }
        }
        let (near, far) = (primary.shard_size(), secondary.shard_size());
        if near != far || near.is_none() {
            let size = |s: Option<u64>| s.map_or_else(|| "unreadable".to_owned(), |s| format!("{s} bytes"));
            let seen = format!(
                "features.shard-block-size is {} on {} and {} on {}{place}",
                size(near),
                primary.name,
                size(far),
                secondary.name
            );
            let matters = "it has to be the same before any data is written";
            let value = primary.options.get("features.shard-block-size").map_or("64MB", String::as_str);
            let remedy = Remedy::Do(format!(
                "gluster volume set {} features.shard-block-size {value}",
                secondary.name
            ));
            self.find(Check::ShardSize, Severity::Refuse, seen, matters, remedy);
        }
        if secondary.switch("features.read-only") != Some(true) {
            let seen = format!("{}{place} can be written to by its clients", secondary.name);
            let matters = "what they write there is neither replicated nor undone";
            let remedy = Remedy::Do(format!("gluster volume set {} features.read-only on", secondary.name));
            self.find(Check::SecondaryReadOnly, Severity::Warn, seen, matters, remedy);
        }
    }

    /// What a session goes by: changelogs on the bricks.
    pub(super) fn changelog(&mut self, config: &SessionConfig, primary: &VolumeInfo) {
        self.looked(Check::Changelog);
        let name = &primary.name;
        if primary.switch("changelog.changelog") != Some(true) {
            let seen = format!("changelog.changelog is not on for {name}");
            let matters = "nothing that is written is recorded: workers walk the whole volume, and see no deletion and \
                           no rename";
            let remedy = Remedy::Set(Fix::primary("changelog.changelog", "on"));
            self.find(Check::Changelog, Severity::Refuse, seen, matters, remedy);
        }
        if let Some(other) = config.get("change-detector").filter(|d| !d.is_empty() && *d != "changelog") {
            let seen = format!("change-detector is {other}");
            let matters = "workers walk the whole volume, and see no deletion and no rename";
            let remedy = Remedy::Set(Fix::session("change-detector", "changelog"));
            self.find(Check::Changelog, Severity::Warn, seen, matters, remedy);
        }
    }

    /// Gluster 11.1's write-behind, above sharding, mixes up writes that are under way at once where a shard begins
    /// (docs/decisions/0012). It is on by default, and passed over for files opened with `O_DIRECT` only where
    /// `performance.strict-o-direct` is on.
    pub(super) fn write_behind(&mut self, primary: &VolumeInfo) {
        self.looked(Check::WriteBehind);
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
        let seen = format!("performance.write-behind is on for {name}, which is sharded");
        let matters = format!(
            "where a shard begins, {whose} can get the data of another write, at the primary itself; what is replicated \
             then is the damaged disk"
        );
        let and = format!(
            "where guests are writing meanwhile, then gluster volume heal {name}: what they were writing is listed as to be \
             healed"
        );
        let remedy = Remedy::SetAnd(Fix::primary("performance.write-behind", "off"), and);
        self.find(Check::WriteBehind, severity, seen, matters, remedy);
    }
}

fn told(brick: &BrickHeal) -> String {
    match brick.pending.or(brick.entries) {
        Some(entries) => format!("{} ({entries})", brick.brick),
        None => format!("{} (does not answer)", brick.brick),
    }
}
