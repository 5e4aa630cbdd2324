//! Topologies from glusterd's directory of a volume and from `gluster volume info --xml`.

use std::io::BufReader;
use std::path::{Component, Path, PathBuf};

use super::spec::{self, Kind};
use super::{Brick, BrickName, Munging, Order, Origin, Subvolume, SubvolumeKind, Topology};
use crate::ShardError;
use crate::raw::glusterd::{BrickFile, InfoFile};
use crate::raw::volume_info::{self, VolumeInfo};

/// What glusterd's numbers of volume types mean, once "distributed" is taken off them.
enum Type {
    Distribute,
    Replicate,
    Disperse,
    Other(&'static str),
}

impl Type {
    /// Types 6 to 9 are the "distributed" ones of 1 to 4 (cli-xml-output.c).
    const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Distribute,
            2 | 7 => Self::Replicate,
            4 | 9 => Self::Disperse,
            1 | 6 => Self::Other("striped volumes are not supported (Gluster dropped them in 6)"),
            3 | 8 => Self::Other("striped volumes are not supported (Gluster dropped them in 6)"),
            5 => Self::Other("tiered volumes are not supported (Gluster dropped them in 6)"),
            _ => Self::Other("its type is not known"),
        }
    }
}

impl Topology {
    /// Reads the description of a volume at `path`, told apart by its content: glusterd's directory of the
    /// volume (`/var/lib/glusterd/vols/NAME`), glusterd's own directory when `volume` names one in it, a file with
    /// the output of `gluster volume info --xml`, a client's volfile, or a client's log, of which the last whole
    /// volfile counts (see [`from_log`](Self::from_log)).
    ///
    /// `volume` says which volume is meant where several are described; where it is given, the volume has to
    /// have that name.
    ///
    /// # Errors
    /// When nothing there describes a volume, or not the one asked for, or it can't be read.
    pub fn load(path: impl AsRef<Path>, volume: Option<&str>) -> Result<Self, ShardError> {
        Self::load_earlier(path, volume, 0)
    }

    /// As [`load`](Self::load), but of a log's whole volfiles of that volume the one that many before the last: what the
    /// volume was made of before bricks were added, removed or replaced.
    ///
    /// # Errors
    /// As there, and when `back` is not 0 and it is no log, or has too few volfiles.
    pub fn load_earlier(
        path: impl AsRef<Path>,
        volume: Option<&str>,
        back: usize,
    ) -> Result<Self, ShardError> {
        let path = path.as_ref();
        let meta = std::fs::metadata(path).map_err(|error| ShardError::io("look at", path, error))?;
        let no_log = || ShardError::Spec {
            what: path.display().to_string(),
            problem: "it is no log, so there is no earlier volfile in it".to_owned(),
        };
        if meta.is_dir() {
            if back > 0 {
                return Err(no_log());
            }
            return Self::load_dir(path, volume);
        }
        let described = match spec::kind(path)? {
            Kind::Xml | Kind::Volfile if back > 0 => Err(no_log()),
            Kind::Xml => Self::from_volume_info_xml(&spec::read_text(path)?, volume),
            Kind::Volfile => Self::from_volfile(&spec::read_text(path)?, volume),
            Kind::Log => Self::from_log(BufReader::new(spec::open(path)?), volume, back),
        };
        described.map_err(|error| match error {
            ShardError::Spec { problem, .. } => {
                ShardError::Spec { what: path.display().to_string(), problem }
            }
            ShardError::Read(source) => ShardError::io("read", path, source),
            other => other,
        })
    }

    fn load_dir(path: &Path, volume: Option<&str>) -> Result<Self, ShardError> {
        let fail = |problem: String| ShardError::Spec { what: path.display().to_string(), problem };
        if path.join("info").is_file() {
            let topology = Self::from_glusterd_dir(path)?;
            return match volume {
                Some(asked) if asked != topology.volume => Err(ShardError::NoSuchVolume {
                    asked: Some(asked.to_owned()),
                    have: vec![topology.volume],
                }),
                _ => Ok(topology),
            };
        }
        if path.join("vols").is_dir() {
            let Some(asked) = volume else {
                return Err(fail(
                    "it is glusterd's own directory; say which volume, or give its vols/NAME".to_owned(),
                ));
            };
            plain_name(asked).ok_or_else(|| fail(format!("{asked:?} is no volume's name")))?;
            return Self::from_glusterd_dir(path.join("vols").join(asked));
        }
        if path.join(".glusterfs").is_dir() {
            return Err(fail("it is a brick; give bricks with --brick".to_owned()));
        }
        Err(fail(
            "the directory has no file `info`, so it is not glusterd's directory of a volume".to_owned(),
        ))
    }

    /// Reads glusterd's directory of a volume: its `info` and its `bricks/`.
    ///
    /// The volume's credentials, which `info` holds too, are skipped.
    ///
    /// # Errors
    /// When a file is missing, can't be read or contradicts itself, or the volume's type is not supported.
    pub fn from_glusterd_dir(dir: impl AsRef<Path>) -> Result<Self, ShardError> {
        let dir = dir.as_ref();
        let info_path = dir.join("info");
        let fail = |problem: String| ShardError::Spec { what: info_path.display().to_string(), problem };
        let info = InfoFile::parse(&spec::read_text(&info_path)?).map_err(&fail)?;
        let mut bricks = Vec::with_capacity(info.bricks.len());
        for name in &info.bricks {
            let file =
                plain_name(name).ok_or_else(|| fail(format!("brick {name:?} is no name of a file")))?;
            let path = dir.join("bricks").join(file);
            let brick = BrickFile::parse(&spec::read_text(&path)?)
                .map_err(|problem| ShardError::Spec { what: path.display().to_string(), problem })?;
            bricks.push(brick);
        }
        let volume = volume_name(&bricks, dir).ok_or_else(|| {
            fail("neither the bricks nor the directory's name tell the volume's name".to_owned())
        })?;
        let shape = Shape {
            volume: &volume,
            kind: info.kind,
            group: info.group,
            redundancy: info.redundancy_count,
            arbiters: info.arbiter_count,
        };
        let munging = munging(info.rsync_hash_regex.as_deref(), info.extra_hash_regex.as_deref());
        let bricks = bricks.into_iter().map(|brick| Brick {
            name: BrickName::new(&brick.hostname, brick.path),
            client: brick.brick_id,
            arbiter: false,
            decommissioned: brick.decommissioned,
        });
        let subvolumes = shape.subvolumes(bricks.collect(), &fail)?;
        Ok(Self { volume, id: info.volume_id, origin: Origin::Glusterd, subvolumes, munging })
    }

    /// Reads the output of `gluster volume info --xml`, of one volume or all.
    ///
    /// # Errors
    /// When it is no such output, the volume is not in it, or its type is not supported.
    pub fn from_volume_info_xml(text: &str, volume: Option<&str>) -> Result<Self, ShardError> {
        let fail =
            |problem: String| ShardError::Spec { what: "gluster volume info --xml".to_owned(), problem };
        let mut volumes = volume_info::parse(text).map_err(&fail)?;
        let at = match volume {
            Some(asked) => volumes.iter().position(|found| found.name == asked),
            None if volumes.len() == 1 => Some(0),
            None => None,
        };
        let Some(at) = at else {
            let have = volumes.into_iter().map(|found| found.name).collect();
            return Err(ShardError::NoSuchVolume { asked: volume.map(str::to_owned), have });
        };
        let found: VolumeInfo = volumes.swap_remove(at);
        let shape = Shape {
            volume: &found.name,
            kind: found.kind,
            group: found.group,
            redundancy: found.redundancy_count,
            arbiters: found.arbiter_count,
        };
        let mut bricks = Vec::with_capacity(found.bricks.len());
        for brick in &found.bricks {
            bricks.push(Brick {
                name: brick.name.parse()?,
                client: None,
                arbiter: brick.arbiter,
                decommissioned: false,
            });
        }
        let subvolumes = shape.subvolumes(bricks, &fail)?;
        let munging = munging(found.rsync_hash_regex.as_deref(), found.extra_hash_regex.as_deref());
        Ok(Self { volume: found.name, id: found.id, origin: Origin::VolumeInfo, subvolumes, munging })
    }
}

/// What makes subvolumes of a list of bricks.
struct Shape<'a> {
    volume: &'a str,
    kind: u32,
    /// Bricks per subvolume.
    group: u32,
    redundancy: u32,
    arbiters: u32,
}

impl Shape<'_> {
    /// Consecutive runs of `group` bricks are one subvolume; the last brick of a run is the arbiter, if there is one.
    fn subvolumes(
        &self,
        bricks: Vec<Brick>,
        fail: &dyn Fn(String) -> ShardError,
    ) -> Result<Vec<Subvolume>, ShardError> {
        let unsupported =
            |what: &str| ShardError::Unsupported { volume: self.volume.to_owned(), what: what.to_owned() };
        let kind = match Type::from_number(self.kind) {
            Type::Distribute => SubvolumeKind::Single,
            Type::Replicate => SubvolumeKind::Replicate,
            Type::Disperse => SubvolumeKind::Disperse { redundancy: self.redundancy },
            Type::Other(what) => return Err(unsupported(what)),
        };
        let group = if kind == SubvolumeKind::Single { 1 } else { self.group as usize };
        if bricks.is_empty() {
            return Err(fail("the volume has no brick".to_owned()));
        }
        if group == 0 || !bricks.len().is_multiple_of(group) {
            return Err(fail(format!("{} bricks don't make subvolumes of {group} each", bricks.len())));
        }
        if self.arbiters > 1 {
            return Err(unsupported("it has more than one arbiter in a replica set"));
        }
        let mut subvolumes = Vec::with_capacity(bricks.len() / group);
        let mut bricks = bricks.into_iter().peekable();
        while bricks.peek().is_some() {
            let mut set: Vec<Brick> = bricks.by_ref().take(group).collect();
            if let (1, SubvolumeKind::Replicate, Some(last)) = (self.arbiters, kind, set.last_mut()) {
                last.arbiter = true;
            }
            let number = subvolumes.len();
            let name = match (kind, set.first().and_then(|brick| brick.client.clone())) {
                (SubvolumeKind::Single, Some(client)) => client,
                (SubvolumeKind::Single, None) => format!("{}-client-{number}", self.volume),
                (SubvolumeKind::Replicate, _) => format!("{}-replicate-{number}", self.volume),
                (SubvolumeKind::Disperse { .. }, _) => format!("{}-disperse-{number}", self.volume),
            };
            subvolumes.push(Subvolume { name, kind, bricks: set, order: Order::Described });
        }
        Ok(subvolumes)
    }
}

/// `none` switches a regex off; the extra one is tried first, then rsync's (dht-hashfn.c).
pub(super) fn munging(rsync: Option<&str>, extra: Option<&str>) -> Munging {
    let extra_is_off = matches!(extra, None | Some("" | "none"));
    match rsync {
        _ if !extra_is_off => Munging::Custom,
        None | Some(r"^\.(.+)\.[^.]+$") => Munging::Default,
        Some("none") => Munging::Off,
        Some(_) => Munging::Custom,
    }
}

/// The volume's name as the bricks' ids have it, else as the directory is called.
fn volume_name(bricks: &[BrickFile], dir: &Path) -> Option<String> {
    let by_brick = |brick: &BrickFile| {
        let (volume, number) = brick.brick_id.as_deref()?.rsplit_once("-client-")?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| volume.to_owned())
    };
    let first = bricks.first().and_then(by_brick);
    if first.is_some() && bricks.iter().all(|brick| by_brick(brick) == first) {
        return first;
    }
    let absolute = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    Some(absolute.file_name()?.to_str()?.to_owned())
}

/// `name` as a path of one ordinary component, if it is one.
fn plain_name(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(name);
    let mut components = path.components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == path.as_os_str() => Some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_expressions_let_a_hash_be_predicted() {
        assert_eq!(munging(None, None), Munging::Default);
        assert_eq!(munging(Some("none"), Some("none")), Munging::Off);
        assert_eq!(munging(Some(r"^\.(.+)\.[^.]+$"), Some("")), Munging::Default);
        assert_eq!(munging(None, Some("(.*)x")), Munging::Custom);
        assert_eq!(munging(Some("(.*)x"), None), Munging::Custom);
    }

    #[test]
    fn a_name_with_a_slash_or_dots_is_no_file_name() {
        for bad in ["", ".", "..", "a/b", "/a", "a/", "./a"] {
            assert_eq!(plain_name(bad), None, "{bad}");
        }
        assert_eq!(plain_name("siteA:-b-b0"), Some("siteA:-b-b0".into()));
    }
}
