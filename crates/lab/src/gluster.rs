//! Volumes and their mounts.

use std::fs;
use std::time::Duration;

use crate::error::{IoContext, Result};
use crate::process;
use crate::site::Site;

/// The volume that `use-meta-volume` keeps its locks on.
pub(crate) const META_VOLUME: &str = "gluster_shared_storage";

impl Site {
    /// Creates, sets up and starts the site's volume.
    pub(crate) fn create_volume(&self) -> Result<()> {
        let volume = &self.volume;
        let mut words = vec!["volume".to_owned(), "create".to_owned(), volume.name.clone()];
        words.extend(volume.layout.create_arguments());
        words.extend(self.brick_dirs().iter().map(|brick| format!("{}:{}", self.name, brick.display())));
        words.push("force".to_owned());
        self.gluster(&words)?;
        // Sharding before any data.
        let mut options = Vec::new();
        if let Some(size) = volume.shard_mib {
            options.push(("features.shard-block-size".to_owned(), format!("{size}MB")));
            options.push(("features.shard".to_owned(), "on".to_owned()));
            // With it, Gluster 11.1 damages what is written at once on both sides of a shard's beginning.
            options.push(("performance.write-behind".to_owned(), "off".to_owned()));
        }
        options.extend(volume.options.iter().cloned());
        for (option, value) in options {
            self.gluster(["volume", "set", &volume.name, &option, &value])?;
        }
        self.gluster(["volume", "start", &volume.name])?;
        Ok(())
    }

    /// Mounts the site's volume at [`Site::mount`].
    pub(crate) fn mount_volume(&self) -> Result<()> {
        let place = self.mount();
        let directory = self.paths.private(self.name, "mnt").join(&self.volume.name);
        fs::create_dir_all(&directory).io("create", &directory)?;
        self.mount_gluster(&self.volume.name, &place.to_string_lossy())
    }

    /// Mounts any volume of this site's glusterd anywhere at this site.
    fn mount_gluster(&self, volume: &str, place: &str) -> Result<()> {
        let script = format!(
            "mkdir -p {place} && mount -t glusterfs {}:/{volume} {place} && stat -f {place}",
            self.name
        );
        process::wait_for(
            &format!("{volume} to be mounted at {}", self.name),
            Duration::from_secs(60),
            Duration::from_millis(500),
            || Ok(self.daemon(&script).map(|_| ()).map_err(|error| error.to_string())),
        )
    }

    /// Whether the site's volume is mounted and answers.
    pub(crate) fn volume_is_mounted(&self) -> bool {
        let place = self.mount();
        self.sh_within(&format!("mountpoint -q {0} && stat {0}", place.display()), Duration::from_secs(10))
            .is_ok()
    }

    /// Makes, starts and mounts the volume for the session's locks.
    pub(crate) fn create_meta_volume(&self) -> Result<()> {
        let brick = self.bricks_file_system().join("meta-b0");
        fs::create_dir(&brick).io("create", &brick)?;
        self.gluster([
            "volume",
            "create",
            META_VOLUME,
            &format!("{}:{}", self.name, brick.display()),
            "force",
        ])?;
        self.gluster(["volume", "start", META_VOLUME])?;
        self.mount_gluster(META_VOLUME, "/run/gluster/shared_storage")
    }
}
