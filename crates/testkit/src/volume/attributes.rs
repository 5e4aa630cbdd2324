//! Xattrs: on the file system, or remembered for a dump.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Where the bricks' xattrs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeptIn {
    /// In a file `BRICK.getfattr` beside each brick, as `getfattr -d -m- -e hex -R BRICK` prints it. Works on any
    /// file system, for anybody.
    #[default]
    Dump,
    /// As `trusted.*` on the file system, which takes root.
    FileSystem,
}

/// The xattrs of a brick's files, by path beneath its root.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    kept_in: KeptIn,
    root: PathBuf,
    /// What the dump will hold. Not used where the file system keeps them.
    remembered: BTreeMap<PathBuf, BTreeMap<String, Vec<u8>>>,
}

impl Attributes {
    pub(super) fn new(root: &Path, kept_in: KeptIn) -> Self {
        Self { kept_in, root: root.to_owned(), remembered: BTreeMap::new() }
    }

    pub(super) fn set(&mut self, path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
        match self.kept_in {
            KeptIn::FileSystem => xattr::set(self.root.join(path), name, value),
            KeptIn::Dump => {
                self.remembered.entry(path.to_owned()).or_default().insert(name.to_owned(), value.to_vec());
                Ok(())
            }
        }
    }

    pub(super) fn get(&self, path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.kept_in {
            KeptIn::FileSystem => xattr::get(self.root.join(path), name),
            KeptIn::Dump => Ok(self.remembered.get(path).and_then(|all| all.get(name)).cloned()),
        }
    }

    pub(super) fn remove(&mut self, path: &Path, name: &str) -> io::Result<()> {
        match self.kept_in {
            KeptIn::FileSystem => xattr::remove(self.root.join(path), name),
            KeptIn::Dump => {
                if let Some(all) = self.remembered.get_mut(path) {
                    all.remove(name);
                }
                Ok(())
            }
        }
    }

    pub(super) fn all(&self, path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
        match self.kept_in {
            KeptIn::Dump => Ok(self.remembered.get(path).cloned().unwrap_or_default()),
            KeptIn::FileSystem => {
                let path = self.root.join(path);
                let mut all = BTreeMap::new();
                for name in xattr::list(&path)? {
                    if let (Some(name), Some(value)) = (name.to_str(), xattr::get(&path, &name)?) {
                        all.insert(name.to_owned(), value);
                    }
                }
                Ok(all)
            }
        }
    }

    /// The file at `path` is gone, and what was known of it.
    pub(super) fn forget(&mut self, path: &Path) {
        self.remembered.remove(path);
    }

    pub(super) fn save(&self) -> io::Result<()> {
        if self.kept_in == KeptIn::FileSystem {
            return Ok(());
        }
        let root = self.root.file_name().and_then(|name| name.to_str()).unwrap_or("brick");
        let mut text = String::new();
        for (path, attributes) in &self.remembered {
            print(&mut text, &Path::new(root).join(path), attributes);
            if path.as_os_str().is_empty() {
                // The root's handle is a link to it, and getfattr tells of what it leads to.
                let handle = format!(".glusterfs/00/00/{}", Uuid::from_u128(1));
                print(&mut text, &Path::new(root).join(handle), attributes);
            }
            // A handle is a hard link, so that getfattr meets the file there, too.
            if let Some(handle) = attributes.get("trusted.gfid").and_then(|gfid| Uuid::from_slice(gfid).ok())
                && self.root.join(path).symlink_metadata().is_ok_and(|meta| meta.is_file())
            {
                let name = handle.to_string();
                let handle = Path::new(root).join(".glusterfs").join(&name[..2]).join(&name[2..4]).join(name);
                print(&mut text, &handle, attributes);
            }
        }
        std::fs::write(self.root.with_file_name(format!("{root}.getfattr")), text)
    }
}

/// Appends what getfattr prints for a file.
fn print(text: &mut String, path: &Path, attributes: &BTreeMap<String, Vec<u8>>) {
    text.push_str("# file: ");
    for c in path.to_str().map(|path| path.trim_end_matches('/')).unwrap_or_default().chars() {
        match c {
            '\\' | '\n' | '\r' | ' ' => write!(text, "\\{:03o}", c as u32).unwrap_or_default(),
            c => text.push(c),
        }
    }
    text.push('\n');
    for (name, value) in attributes {
        write!(text, "{name}=0x").unwrap_or_default();
        for byte in value {
            write!(text, "{byte:02x}").unwrap_or_default();
        }
        text.push('\n');
    }
    text.push('\n');
}
