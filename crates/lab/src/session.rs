//! The geo-replication session from site A to site B.

use std::time::Duration;

use crate::config::{LabConfig, SessionConfig, SiteName};
use crate::error::Result;
use crate::gluster::META_VOLUME;
use crate::lab::Lab;
use crate::process::{self, progress};
use crate::site::Site;

/// The key that push-pem hands to the secondary.
const PEM: &str = "/var/lib/glusterd/geo-replication/secret.pem";

/// The words that name the session behind `gluster volume geo-replication`.
fn words(config: &LabConfig, rest: &[&str]) -> Vec<String> {
    let secondary = format!("{}::{}", SiteName::B, config.secondary.name);
    ["volume", "geo-replication", &config.primary.name, &secondary]
        .iter()
        .chain(rest)
        .map(|&word| word.to_owned())
        .collect()
}

/// Creates the session, configures it, and starts it if so configured.
pub(crate) fn build(a: &Site, config: &LabConfig, session: &SessionConfig) -> Result<()> {
    let rollover = session.rollover_seconds.to_string();
    a.gluster(["volume", "set", &config.primary.name, "changelog.rollover-time", &rollover])?;
    a.gluster(["system::", "execute", "gsec_create"])?;
    a.gluster(words(config, &["create", "push-pem", "force"]))?;
    // push-pem copies the keys in the background.
    a.wait_for_ssh(SiteName::B, Some(PEM))?;
    // Gluster's command line takes any word that begins with `--` for an option of its own. With a blank in front it
    // passes; gsyncd splits the value at blanks.
    let rsync_options = format!(" {}", session.rsync_options);
    let mut settings = vec![("log-rsync-performance", "true")];
    if session.secondary_access_mount {
        settings.push(("secondary-access-mount", "true"));
    }
    if !session.rsync_options.is_empty() {
        settings.push(("rsync-options", rsync_options.as_str()));
    }
    if session.use_meta_volume {
        progress(&a.instance, &format!("meta volume {META_VOLUME}"));
        a.create_meta_volume()?;
        settings.push(("use-meta-volume", "true"));
    }
    for (name, value) in settings {
        a.gluster(words(config, &["config", name, value]))?;
    }
    if session.start {
        a.gluster(words(config, &["start"]))?;
    }
    Ok(())
}

/// The statuses of the session's workers, one per brick, from `status`.
fn worker_states(a: &Site, config: &LabConfig) -> Result<Vec<String>> {
    let text = a.gluster(words(config, &["status", "--xml"]))?;
    let states = text.split("<status>").skip(1).filter_map(|rest| rest.split_once("</status>"));
    Ok(states.map(|(state, _)| state.to_owned()).collect())
}

impl Lab {
    /// Runs `gluster volume geo-replication PRIMARY siteB::SECONDARY WORDS…` at site A; its standard output.
    ///
    /// # Errors
    /// The command failed.
    pub fn session_command(&self, rest: &[&str]) -> Result<String> {
        self.site(SiteName::A).gluster(words(self.config(), rest))
    }

    /// The status of each worker (one per brick of the primary), as Gluster words them: `Active`, `Passive`, …
    ///
    /// # Errors
    /// The command failed.
    pub fn session_states(&self) -> Result<Vec<String>> {
        worker_states(self.site(SiteName::A), self.config())
    }

    /// Waits until every worker is `Active` or `Passive` and at least one per subvolume is `Active`. A session that
    /// came up too early is stopped and started again once.
    ///
    /// # Errors
    /// It did not come true in time, or a command failed.
    pub fn wait_for_session_active(&self, limit: Duration) -> Result<()> {
        wait_active(self.site(SiteName::A), self.config(), limit)
    }
}

pub(crate) fn wait_active(a: &Site, config: &LabConfig, limit: Duration) -> Result<()> {
    let bricks = config.primary.layout.bricks();
    let wanted = usize::from(config.primary.layout.subvolumes);
    let mut created_for = 0;
    process::wait_for("every worker of the session to be active", limit, Duration::from_millis(500), || {
        let states = match worker_states(a, config) {
            Ok(states) => states,
            // Another gluster command holds the cluster's lock.
            Err(error) => return Ok(Err(error.to_string())),
        };
        let count = |wanted: &str| states.iter().filter(|&state| state == wanted).count();
        if count("Active") >= wanted && count("Active") + count("Passive") == bricks {
            return Ok(Ok(()));
        }
        if count("Created") == bricks {
            created_for += 1;
            if created_for == 30 {
                progress(&a.instance, "the session stays Created; starting it again");
                a.gluster(words(config, &["stop", "force"]))?;
                a.gluster(words(config, &["start"]))?;
            }
        }
        Ok(Err(states.join(", ")))
    })
}
