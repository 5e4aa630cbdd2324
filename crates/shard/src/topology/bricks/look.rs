//! What one brick tells about its place in its volume.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::ShardError;
use crate::raw::xattr::{self, EcConfig, Layout};
use crate::topology::BrickName;
use crate::tree::{BrickTree, Directory, Found, FoundDirectory, LINKTO_MODE, each_gfid, hex_names};

/// So many files of a brick are looked at: those with the smallest gfids, so that bricks with the same files are asked
/// about the same ones.
const FILES: usize = 512;
/// So many of the files that AFR noted to be healed are looked at besides.
const NOTED: usize = 1024;
/// Where AFR notes them, by their gfids.
const NOTES: &str = ".glusterfs/indices/xattrop";

/// A range of hashes, both ends included.
pub(super) type Range = (u32, u32);

/// What one brick tells.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) name: BrickName,
    pub(super) volume_id: Uuid,
    /// Its part of the hash space in `/.shard`, if it has one.
    pub(super) shard: Option<Range>,
    /// The same of the root directory.
    pub(super) root: Option<Range>,
    /// Whether its files are fragments.
    pub(super) dispersed: bool,
    pub(super) ec: Option<EcConfig>,
    /// The names by which AFR counts on it.
    pub(super) clients: BTreeSet<String>,
    /// Subvolumes that its link files lead to.
    pub(super) targets: BTreeSet<String>,
    /// Files that are no link files, by gfid, and whether they have a byte.
    pub(super) files: BTreeMap<Uuid, bool>,
}

impl Own {
    /// Looks at a brick, whose xattrs may be in a dump.
    pub(super) fn of(path: &Path, dump: Option<&Path>) -> Result<Self, ShardError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let tree = BrickTree::open(BrickName::local(&path), &path, dump)
            .map_err(|problem| ShardError::NotABrick { path: path.clone(), problem })?;
        let mut own = Self {
            name: tree.name.clone(),
            volume_id: tree.volume_id,
            shard: None,
            root: None,
            dispersed: false,
            ec: None,
            clients: BTreeSet::new(),
            targets: BTreeSet::new(),
            files: BTreeMap::new(),
        };
        let root = tree.root()?;
        own.root = own.directory(&tree, &root)?;
        if let FoundDirectory::Directory(shard) = tree.directory(&root, Path::new(".shard"))? {
            own.shard = own.directory(&tree, &shard)?;
        }
        for gfid in smallest_gfids(&tree, &root)? {
            own.file(&tree, &root, gfid, true)?;
        }
        let mut noted = Vec::new();
        each_gfid(&tree, &root, Path::new(NOTES), &mut |gfid| {
            if noted.len() < NOTED {
                noted.push(gfid);
            }
        })?;
        for gfid in noted {
            own.file(&tree, &root, gfid, false)?;
        }
        Ok(own)
    }

    /// Takes note of a directory's xattrs, and gives its range of hashes, if it has one.
    fn directory(&mut self, tree: &BrickTree, dir: &Directory) -> Result<Option<Range>, ShardError> {
        let fail = |error| ShardError::io("read the xattrs of", tree.local.join(&dir.path), error);
        let xattrs = tree.xattrs(&dir.fd, &dir.path).map_err(fail)?;
        self.names(&xattrs.names());
        let value = xattrs.get(&dir.fd, xattr::DHT).map_err(fail)?;
        let layout = value.as_deref().and_then(xattr::layout).filter(|layout| !layout.is_empty());
        Ok(layout.map(|Layout { start, stop, .. }| (start, stop)))
    }

    fn names(&mut self, names: &[&str]) {
        self.dispersed |= names.iter().any(|name| name.starts_with(xattr::EC_PREFIX));
        for name in names {
            if let Some(client) = name.strip_prefix(xattr::AFR_PREFIX).filter(|name| *name != "dirty") {
                self.clients.insert(client.to_owned());
            }
        }
    }

    /// Takes note of a file, by its handle. What is none, or can't be read, tells nothing.
    fn file(
        &mut self,
        tree: &BrickTree,
        root: &Directory,
        gfid: Uuid,
        sampled: bool,
    ) -> Result<(), ShardError> {
        let name = gfid.to_string();
        let FoundDirectory::Directory(dir) = tree.directory(root, &handle_dir(&name))? else { return Ok(()) };
        let open = match tree.find(&dir, Path::new(&name)) {
            Ok(Found::File(open)) => open,
            Err(error) if error.is_retryable() => return Err(error),
            _ => return Ok(()),
        };
        let Ok(xattrs) = tree.xattrs(&open.file, &dir.path.join(&name)) else { return Ok(()) };
        self.names(&xattrs.names());
        let get = |name: &str| xattrs.get(open.file.as_fd(), name).ok().flatten();
        if self.ec.is_none() {
            self.ec = get(xattr::EC_CONFIG).as_deref().and_then(xattr::ec_config);
        }
        let target = (open.mode == LINKTO_MODE).then(|| get(xattr::LINKTO)).flatten();
        match target.as_deref().map(xattr::linkto) {
            Some(target) => self.targets.extend(target.map(str::to_owned)),
            None if sampled => {
                self.files.insert(gfid, open.len > 0);
            }
            None => {}
        }
        Ok(())
    }
}

/// The directory of a gfid's handle.
fn handle_dir(gfid: &str) -> PathBuf {
    let part = |range| gfid.get(range).unwrap_or_default();
    Path::new(".glusterfs").join(part(0..2)).join(part(2..4))
}

/// The smallest gfids of which there are handles that are no directories' (these are symbolic links).
pub(crate) fn smallest_gfids(tree: &BrickTree, root: &Directory) -> Result<BTreeSet<Uuid>, ShardError> {
    let mut found = BTreeSet::new();
    for first in hex_names(tree, root, Path::new(".glusterfs"))? {
        let above = Path::new(".glusterfs").join(&first);
        for second in hex_names(tree, root, &above)? {
            if found.len() >= FILES {
                return Ok(found);
            }
            each_gfid(tree, root, &above.join(&second), &mut |gfid| {
                let text = gfid.to_string();
                if text.starts_with(&first) && text.get(2..4) == Some(second.as_str()) {
                    found.insert(gfid);
                    if found.len() > FILES {
                        found.pop_last();
                    }
                }
            })?;
        }
    }
    Ok(found)
}
