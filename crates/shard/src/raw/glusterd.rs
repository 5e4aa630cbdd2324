//! glusterd's own files about a volume: `info` and `bricks/*`, lines of `key=value`.
//!
//! Only keys that are named here are taken over. `info` also holds the volume's user name and password, which
//! are never copied out of the text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use uuid::Uuid;

/// What `info` says. Counts are 0 where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InfoFile {
    /// The type's number: 0 distribute, 2 replicate, 4 disperse.
    pub kind: u32,
    /// Bricks per subvolume.
    pub group: u32,
    /// How many bricks of a replica set are arbiters.
    pub arbiter_count: u32,
    /// How many bricks of a disperse set may be lost.
    pub redundancy_count: u32,
    /// The volume's id.
    pub volume_id: Option<Uuid>,
    /// Names of the files in `bricks/`, in the volume's order.
    pub bricks: Vec<String>,
    /// Option `cluster.rsync-hash-regex`, where set.
    pub rsync_hash_regex: Option<String>,
    /// Option `cluster.extra-hash-regex`, where set.
    pub extra_hash_regex: Option<String>,
}

/// What a file in `bricks/` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrickFile {
    /// The brick's host.
    pub hostname: String,
    /// The brick's root on that host.
    pub path: PathBuf,
    /// The client translator's name of it, `VOLUME-client-N`. Not written before 3.6.
    pub brick_id: Option<String>,
    /// Whether it is being removed from the volume.
    pub decommissioned: bool,
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once('='))
}

fn number(key: &str, value: &str) -> Result<u32, String> {
    value.trim().parse().map_err(|_| format!("{key} is {value:?}, which is no number"))
}

impl InfoFile {
    /// Parses the text of `info`.
    ///
    /// # Errors
    /// A sentence on what is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut info = Self::default();
        let (mut kind, mut count, mut sub_count, mut replica_count, mut disperse_count) =
            (None, None, 0, 0, 0);
        let mut bricks = BTreeMap::new();
        for (key, value) in pairs(text) {
            match key {
                "type" => kind = Some(number(key, value)?),
                "count" => count = Some(number(key, value)?),
                "sub_count" => sub_count = number(key, value)?,
                "replica_count" => replica_count = number(key, value)?,
                "arbiter_count" => info.arbiter_count = number(key, value)?,
                "disperse_count" => disperse_count = number(key, value)?,
                "redundancy_count" => info.redundancy_count = number(key, value)?,
                "volume-id" => {
                    let id = value.trim().parse();
                    info.volume_id =
                        Some(id.map_err(|_| format!("volume-id is {value:?}, which is no UUID"))?);
                }
                "cluster.rsync-hash-regex" | "rsync-hash-regex" => {
                    info.rsync_hash_regex = Some(value.to_owned())
                }
                "cluster.extra-hash-regex" | "extra-hash-regex" => {
                    info.extra_hash_regex = Some(value.to_owned())
                }
                _ => {
                    if let Some(index) =
                        key.strip_prefix("brick-").and_then(|index| index.parse::<u32>().ok())
                        && bricks.insert(index, value.to_owned()).is_some()
                    {
                        return Err(format!("{key} occurs twice"));
                    }
                }
            }
        }
        info.kind = kind.ok_or("there is no line type=")?;
        let count = count.ok_or("there is no line count=")?;
        if bricks.len() != count as usize || !bricks.keys().copied().eq(0..count) {
            return Err(format!("count is {count}, but the lines brick-N= don't run from 0 to that"));
        }
        info.bricks = bricks.into_values().collect();
        info.group = match info.kind {
            2 | 7 => replica_count,
            4 | 9 => disperse_count,
            _ => 1,
        };
        if sub_count > 1 && info.group > 1 && sub_count != info.group {
            return Err(format!("sub_count is {sub_count}, but the subvolumes are of {} bricks", info.group));
        }
        Ok(info)
    }
}

impl BrickFile {
    /// Parses the text of a file in `bricks/`.
    ///
    /// # Errors
    /// A sentence on what is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut brick = Self::default();
        for (key, value) in pairs(text) {
            match key {
                "hostname" => value.clone_into(&mut brick.hostname),
                "path" => brick.path = PathBuf::from(value),
                "brick-id" if !value.is_empty() => brick.brick_id = Some(value.to_owned()),
                "decommissioned" => brick.decommissioned = value.trim() == "1",
                _ => {}
            }
        }
        if brick.hostname.is_empty() {
            return Err("there is no line hostname=".to_owned());
        }
        if !brick.path.is_absolute() {
            return Err("there is no line path= with an absolute path".to_owned());
        }
        Ok(brick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "type=2\ncount=2\nstatus=1\nsub_count=2\nstripe_count=1\nreplica_count=2\ndisperse_count=0\n\
        redundancy_count=0\nversion=4\ntransport-type=0\nvolume-id=0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n\
        username=5ae6bf5c-user\npassword=9d1b3e-secret\nfeatures.shard=on\nbrick-0=siteA:-b-b0\nbrick-1=siteA:-b-b1\n";

    #[test]
    fn credentials_are_not_taken_over() {
        let info = InfoFile::parse(INFO).unwrap();
        assert_eq!((info.kind, info.group, info.bricks.len()), (2, 2, 2));
        let shown = format!("{info:?}");
        assert!(!shown.contains("secret") && !shown.contains("5ae6bf5c"), "{shown}");
    }

    #[test]
    fn bricks_that_do_not_match_the_count_are_refused() {
        for (from, to) in [
            ("count=2\nstatus", "count=3\nstatus"),
            ("brick-1", "brick-2"),
            ("brick-1", "brick-0"),
            ("type=2\n", ""),
            ("type=2", "type=x"),
            ("sub_count=2", "sub_count=3"),
            ("volume-id=0f", "volume-id=zz"),
        ] {
            let text = INFO.replace(from, to);
            assert!(InfoFile::parse(&text).is_err(), "{from:?} -> {to:?}");
        }
    }

    #[test]
    fn a_brick_file_needs_host_and_absolute_path() {
        let brick =
            BrickFile::parse("hostname=h\npath=/b\nreal_path=/b\nbrick-id=gv1-client-4\ndecommissioned=1\n");
        let brick = brick.unwrap();
        assert_eq!((brick.brick_id.as_deref(), brick.decommissioned), (Some("gv1-client-4"), true));
        assert!(BrickFile::parse("hostname=h\npath=b\n").is_err());
        assert!(BrickFile::parse("path=/b\n").is_err());
    }
}
