//! Comparing two manifests.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::places::Place;
use crate::manifest::{Digest, FileManifest, Layer, Manifest, ShardDigest};

/// The version of [`Proof`]'s schema.
pub const SCHEMA_VERSION: u32 = 1;

/// How many shards of one file are listed by name at most; all are counted.
const LISTED: usize = 1000;

/// What comparing the two sites' manifests told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The schema's version, 1.
    pub schema_version: u32,
    /// When it was made.
    pub made: Timestamp,
    /// Whether the secondary holds exactly what the primary holds: at least one file was compared, and nothing differs.
    pub holds: bool,
    /// The digest over the primary's files.
    pub primary: Digest,
    /// The digest over the secondary's files.
    pub secondary: Digest,
    /// How much was compared.
    pub compared: Compared,
    /// What differs, a file at a time.
    pub differences: Vec<Difference>,
    /// What was read by a rule or word of the caller's where the bricks prove nothing, as in split-brain: a sentence each,
    /// after the site and a colon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// How much a proof compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Compared {
    /// Files.
    pub files: u64,
    /// Shards, holes with them.
    pub shards: u64,
    /// Of these, how many are absent or hold nothing but zeros at the primary.
    pub empty_shards: u64,
    /// The files' logical bytes.
    pub logical_bytes: u64,
    /// How many bytes were read at the primary.
    pub primary_bytes_read: u64,
    /// How many bytes were read at the secondary.
    pub secondary_bytes_read: u64,
    /// How many digests weren't computed but taken from an earlier run.
    pub cached_digests: u64,
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The domain's UUID, where the file is one of a domain's.
    pub domain: Option<Uuid>,
    /// The disk's target name, where the file is one of a disk's.
    pub target: Option<String>,
    /// The file's path in its volume.
    pub path: String,
    /// The file's gfid at the primary.
    pub gfid: Uuid,
    /// What differs about the file as a whole.
    pub file: Vec<FileDifference>,
    /// How many of its shards differ.
    pub differing_shards: u64,
    /// The first thousand of these.
    pub shards: Vec<ShardDifference>,
}

/// What can differ about a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileDifference {
    /// The secondary doesn't have it, or nothing there can be read as it.
    Missing {
        /// What was said when it was looked for.
        reason: String,
    },
    /// The secondary's file of that path is another one.
    Identity {
        /// The secondary's gfid.
        secondary: Uuid,
    },
    /// The logical sizes differ.
    Size {
        /// The primary's, in bytes.
        primary: u64,
        /// The secondary's, in bytes.
        secondary: u64,
    },
    /// The shard sizes differ, so no two shards can be compared.
    ShardSize {
        /// The primary's, in bytes.
        primary: u64,
        /// The secondary's, in bytes.
        secondary: u64,
    },
}

/// How a shard of the secondary differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ShardDifferenceKind {
    /// There is no such shard at the secondary, and the primary's holds data.
    Missing,
    /// It is there and 0 bytes long, and the primary's holds data.
    Empty,
    /// It ends before the primary's data does.
    Short,
    /// It is long enough, and its content differs.
    Different,
    /// It holds data, and the primary's holds none.
    Surplus,
}

impl fmt::Display for ShardDifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Empty => "empty",
            Self::Short => "short",
            Self::Different => "different",
            Self::Surplus => "surplus",
        })
    }
}

/// One shard that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardDifference {
    /// Its index; 0 is the base file.
    pub index: u64,
    /// Its name as one finds it on a brick: `.shard/GFID.INDEX`, or the base's path for index 0.
    pub name: String,
    /// How it differs.
    pub kind: ShardDifferenceKind,
    /// The primary's content.
    pub primary: ShardDigest,
    /// The secondary's content.
    pub secondary: ShardDigest,
    /// Where the primary's copies lie; filled in by [`locate`](super::locate).
    pub primary_places: Vec<Place>,
    /// Where the secondary's copies lie; filled in by [`locate`](super::locate).
    pub secondary_places: Vec<Place>,
}

impl fmt::Display for ShardDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} at the secondary", self.name, self.kind)?;
        let stored = |shard: &ShardDigest| match shard.stored {
            None => "absent".to_owned(),
            Some(len) => format!("{len} bytes"),
        };
        write!(f, " ({}; {} at the primary)", stored(&self.secondary), stored(&self.primary))?;
        for place in &self.secondary_places {
            write!(f, ", on {place}")?;
        }
        Ok(())
    }
}

/// Compares all files of two manifests: every file that the primary's has, with the one at the same disk and layer
/// of the secondary's.
#[must_use]
pub fn compare(primary: &Manifest, secondary: &Manifest) -> Proof {
    let mut compared = Compared::default();
    let mut differences = Vec::new();
    for disk in &primary.disks {
        let other =
            secondary.disks.iter().find(|other| other.domain == disk.domain && other.target == disk.target);
        for (depth, layer) in disk.layers.iter().enumerate() {
            let counterpart = other.and_then(|other| other.layers.get(depth));
            let Some(mut difference) = compare_layer(layer, counterpart, &mut compared) else { continue };
            difference.domain = disk.domain;
            difference.target.clone_from(&disk.target);
            differences.push(difference);
        }
    }
    Proof {
        schema_version: SCHEMA_VERSION,
        made: Timestamp::now(),
        holds: compared.files > 0 && differences.is_empty(),
        primary: primary.digest(),
        secondary: secondary.digest(),
        compared,
        differences,
        choices: [("primary", primary), ("secondary", secondary)]
            .into_iter()
            .flat_map(|(site, manifest)| {
                let layers = manifest.disks.iter().flat_map(|disk| &disk.layers);
                let found = layers.filter_map(|layer| match layer {
                    Layer::Found(file) => Some(&file.choices),
                    Layer::Missing { .. } => None,
                });
                found.flatten().map(move |choice| format!("{site}: {choice}"))
            })
            .collect(),
    }
}

fn compare_layer(primary: &Layer, secondary: Option<&Layer>, compared: &mut Compared) -> Option<Difference> {
    compared.files += 1;
    let primary = match primary {
        Layer::Found(file) => file,
        Layer::Missing { path, reason } => {
            return Some(missing(path, Uuid::nil(), format!("not even the primary has it: {reason}")));
        }
    };
    compared.shards += primary.shards.len() as u64;
    compared.empty_shards += primary.shards.iter().filter(|shard| shard.length == 0).count() as u64;
    compared.logical_bytes += primary.size;
    compared.primary_bytes_read += primary.bytes_read;
    match secondary {
        Some(Layer::Found(secondary)) => {
            compared.secondary_bytes_read += secondary.bytes_read;
            compare_file(primary, secondary)
        }
        Some(Layer::Missing { reason, .. }) => Some(missing(&primary.path, primary.gfid, reason.clone())),
        None => Some(missing(&primary.path, primary.gfid, "nobody looked for it".to_owned())),
    }
}

fn missing(path: &str, gfid: Uuid, reason: String) -> Difference {
    Difference {
        domain: None,
        target: None,
        path: path.to_owned(),
        gfid,
        file: vec![FileDifference::Missing { reason }],
        differing_shards: 0,
        shards: Vec::new(),
    }
}

fn compare_file(primary: &FileManifest, secondary: &FileManifest) -> Option<Difference> {
    let mut file = Vec::new();
    if secondary.gfid != primary.gfid {
        file.push(FileDifference::Identity { secondary: secondary.gfid });
    }
    if secondary.size != primary.size {
        file.push(FileDifference::Size { primary: primary.size, secondary: secondary.size });
    }
    let mut shards = Vec::new();
    let mut differing_shards = 0;
    if secondary.shard_size == primary.shard_size {
        let hole = ShardDigest::hole();
        for index in 0..primary.shards.len().max(secondary.shards.len()) {
            let ours = primary.shards.get(index).unwrap_or(&hole);
            let theirs = secondary.shards.get(index).unwrap_or(&hole);
            let Some(kind) = compare_shard(ours, theirs) else { continue };
            differing_shards += 1;
            if shards.len() < LISTED {
                let index = index as u64;
                let name = match index {
                    0 => primary.path.clone(),
                    index => format!(".shard/{}.{index}", primary.gfid),
                };
                shards.push(ShardDifference {
                    index,
                    name,
                    kind,
                    primary: *ours,
                    secondary: *theirs,
                    primary_places: Vec::new(),
                    secondary_places: Vec::new(),
                });
            }
        }
    } else {
        file.push(FileDifference::ShardSize { primary: primary.shard_size, secondary: secondary.shard_size });
    }
    (!file.is_empty() || differing_shards > 0).then(|| Difference {
        domain: None,
        target: None,
        path: primary.path.clone(),
        gfid: primary.gfid,
        file,
        differing_shards,
        shards,
    })
}

fn compare_shard(primary: &ShardDigest, secondary: &ShardDigest) -> Option<ShardDifferenceKind> {
    if primary.digest == secondary.digest {
        return None;
    }
    Some(match secondary.stored {
        _ if primary.length == 0 => ShardDifferenceKind::Surplus,
        None => ShardDifferenceKind::Missing,
        Some(0) => ShardDifferenceKind::Empty,
        Some(stored) if stored < primary.length => ShardDifferenceKind::Short,
        Some(_) => ShardDifferenceKind::Different,
    })
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { reason } => write!(f, "the secondary doesn't have it: {reason}"),
            Self::Identity { secondary } => {
                write!(f, "the secondary's file of that path is another one, gfid {secondary}")
            }
            Self::Size { primary, secondary } => {
                write!(f, "{primary} bytes at the primary, {secondary} at the secondary")
            }
            Self::ShardSize { primary, secondary } => {
                write!(f, "shards of {primary} bytes at the primary, of {secondary} at the secondary")
            }
        }
    }
}

impl Proof {
    /// How many shards differ.
    #[must_use]
    pub fn differing_shards(&self) -> u64 {
        self.differences.iter().map(|difference| difference.differing_shards).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{DiskManifest, Kind};

    fn shard(content: &[u8], stored: u64) -> ShardDigest {
        ShardDigest {
            digest: blake3::hash(content).into(),
            length: content.len() as u64,
            stored: Some(stored),
        }
    }

    fn file(shards: Vec<ShardDigest>) -> FileManifest {
        let mut file = FileManifest {
            path: "vm/vda.qcow2".to_owned(),
            kind: Kind::WholeFile,
            gfid: Uuid::from_u128(7),
            size: 4096 * shards.len() as u64,
            shard_size: 4096,
            shards,
            digest: Digest::of_nothing(),
            bytes_read: 10,
            choices: Vec::new(),
        };
        file.digest = file.computed_digest();
        file
    }

    fn manifest(layer: Layer) -> Manifest {
        let disk = DiskManifest { domain: None, target: Some("vda".to_owned()), layers: vec![layer] };
        Manifest { schema_version: crate::manifest::SCHEMA_VERSION, disks: vec![disk] }
    }

    fn proof(primary: Vec<ShardDigest>, secondary: Vec<ShardDigest>) -> Proof {
        compare(&manifest(Layer::Found(file(primary))), &manifest(Layer::Found(file(secondary))))
    }

    #[test]
    fn the_same_content_holds_however_it_is_stored() {
        let proof = proof(
            vec![shard(b"one", 4096), ShardDigest::hole(), shard(b"", 0)],
            vec![shard(b"one", 3), shard(b"", 4096), ShardDigest::hole()],
        );
        assert!(proof.holds && proof.differences.is_empty());
        assert_eq!(proof.primary, proof.secondary);
        assert_eq!((proof.compared.shards, proof.compared.empty_shards), (3, 2));
    }

    #[test]
    fn each_way_to_differ_is_told_by_its_name() {
        use ShardDifferenceKind as Kind;
        let four = shard(b"four", 4096);
        for (ours, theirs, kind) in [
            (four, ShardDigest::hole(), Kind::Missing),
            (four, shard(b"", 0), Kind::Empty),
            (four, shard(b"fo", 2), Kind::Short),
            (four, shard(b"", 4096), Kind::Different),
            (four, shard(b"FOUR", 4096), Kind::Different),
            (ShardDigest::hole(), four, Kind::Surplus),
        ] {
            let proof = proof(vec![shard(b"base", 4096), ours], vec![shard(b"base", 4096), theirs]);
            assert!(!proof.holds);
            let [difference] = &proof.differences[..] else { panic!("{proof:?}") };
            let [shard] = &difference.shards[..] else { panic!("{difference:?}") };
            assert_eq!((shard.index, shard.kind), (1, kind));
            assert_eq!(shard.name, format!(".shard/{}.1", Uuid::from_u128(7)));
        }
    }

    #[test]
    fn swapped_shards_are_both_named() {
        let (a, b) = (shard(b"a", 4096), shard(b"b", 4096));
        let proof = proof(vec![a, b], vec![b, a]);
        assert_eq!(proof.differences[0].shards.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(proof.differences[0].shards[0].name, "vm/vda.qcow2");
    }

    #[test]
    fn a_missing_file_another_identity_and_another_size_are_told() {
        let ours = file(vec![shard(b"one", 4096)]);
        let lost = compare(
            &manifest(Layer::Found(ours.clone())),
            &manifest(Layer::Missing {
                path: "vm/vda.qcow2".to_owned(),
                reason: "no brick has it".to_owned(),
            }),
        );
        assert!(matches!(&lost.differences[0].file[..], [FileDifference::Missing { .. }]));
        let mut theirs = ours.clone();
        theirs.gfid = Uuid::from_u128(8);
        theirs.size -= 1;
        let other = compare(&manifest(Layer::Found(ours)), &manifest(Layer::Found(theirs)));
        assert!(!other.holds);
        assert_eq!(
            other.differences[0].file,
            [
                FileDifference::Identity { secondary: Uuid::from_u128(8) },
                FileDifference::Size { primary: 4096, secondary: 4095 }
            ]
        );
    }

    #[test]
    fn shards_of_another_size_are_not_compared_and_do_not_hold() {
        let ours = file(vec![shard(b"one", 4096)]);
        let mut theirs = ours.clone();
        theirs.shard_size *= 2;
        let proof = compare(&manifest(Layer::Found(ours)), &manifest(Layer::Found(theirs)));
        assert!(!proof.holds && proof.differing_shards() == 0);
    }

    #[test]
    fn a_proof_of_nothing_does_not_hold() {
        let nothing = Manifest { schema_version: crate::manifest::SCHEMA_VERSION, disks: Vec::new() };
        assert!(!compare(&nothing, &nothing).holds);
    }

    #[test]
    fn a_disk_that_nobody_looked_at_does_not_hold() {
        let ours = manifest(Layer::Found(file(vec![shard(b"one", 4096)])));
        let nothing = Manifest { schema_version: crate::manifest::SCHEMA_VERSION, disks: Vec::new() };
        assert!(!compare(&ours, &nothing).holds);
    }

    #[test]
    fn all_shards_are_counted_and_only_so_many_listed() {
        let many = LISTED + 5;
        let proof = proof(vec![shard(b"x", 4096); many], vec![ShardDigest::hole(); many]);
        assert_eq!(proof.differing_shards(), many as u64);
        assert_eq!(proof.differences[0].shards.len(), LISTED);
    }
}
