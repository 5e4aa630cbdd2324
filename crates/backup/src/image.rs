//! Images and what they name, in a volume or in local directories.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use stillpoint_qcow2::{Below, FileId, Name, Reference, ReferenceError, Resolver, Source, Target};
use stillpoint_shard::{FileOptions, FileRef, ShardError, ShardedFile, Volume};

/// Opens what an image names below any of several local directories.
#[derive(Debug)]
pub struct LocalImages(Vec<Below>);

impl LocalImages {
    /// Allows files below each of these directories.
    ///
    /// # Errors
    /// When one of them can't be opened.
    pub fn below(roots: impl IntoIterator<Item = impl AsRef<Path>>) -> std::io::Result<Self> {
        roots.into_iter().map(Below::new).collect::<std::io::Result<_>>().map(Self)
    }
}

impl Resolver for LocalImages {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let mut last = ReferenceError::Denied { kind: reference.kind, name: reference.stored.clone() };
        let straight = straight(reference);
        for root in &self.0 {
            match root.resolve(straight.as_ref().unwrap_or(reference)) {
                Err(outside @ ReferenceError::Outside { .. }) => last = outside,
                Ok(mut source) => {
                    if let Target::File { path, .. } = &reference.target {
                        source.name.clone_from(path);
                    }
                    return Ok(source);
                }
                failed => return failed,
            }
        }
        Err(last)
    }
}

/// The same reference with `..` taken out of its path as the kernel would, links followed: a directory that is allowed
/// is then seen to be above it. What is opened in the end is held to that directory all the same.
fn straight(reference: &Reference) -> Option<Reference> {
    let Target::File { path, format } = &reference.target else { return None };
    let path = path.as_path();
    if !path.components().any(|component| component == Component::ParentDir) {
        return None;
    }
    let directory = path.parent()?.canonicalize().ok()?;
    let path = Name::from(directory.join(path.file_name()?).as_path());
    let mut straight = reference.clone();
    straight.target = Target::File { path, format: format.clone() };
    Some(straight)
}

/// Opens images in a volume, and what they name there. Nothing outside the volume is ever opened.
#[derive(Debug)]
pub struct VolumeImages {
    volume: Volume,
    mounted_at: Option<PathBuf>,
    /// Directories from the volume's root on; the empty path is the whole volume.
    roots: Vec<PathBuf>,
}

impl VolumeImages {
    /// Images in `volume`, whose absolute names are those of the volume mounted at `mounted_at`. What an image names may
    /// lie below the directories `roots`, each from the volume's root on, or absolute below `mounted_at`.
    #[must_use]
    pub fn new(volume: Volume, mounted_at: Option<PathBuf>, roots: &[PathBuf]) -> Self {
        let mut images = Self { volume, mounted_at, roots: Vec::new() };
        images.roots = roots.iter().filter_map(|root| images.in_volume(root)).collect();
        images
    }

    /// Opens an image as a source under this name: a path from the root on, absolute below where the volume is mounted,
    /// or `gfid:UUID`.
    ///
    /// # Errors
    /// As [`Volume::open_file`].
    pub fn open(&self, name: &str) -> Result<Source, ShardError> {
        self.open_with(name, &FileOptions::default())
    }

    /// The same, where what the file's base tells is lost or wrong.
    ///
    /// # Errors
    /// As [`Volume::open_file_with`].
    pub fn open_with(&self, name: &str, options: &FileOptions) -> Result<Source, ShardError> {
        let reference = match name.parse()? {
            FileRef::Path(path) => FileRef::Path(self.in_volume(&path).unwrap_or(path)),
            other => other,
        };
        Ok(source(self.volume.open_file_with(&reference, options)?, name.into()))
    }

    /// The path from the volume's root on, `.` and `..` taken out: directories of a volume are no links. `None` if it
    /// isn't in the volume.
    fn in_volume(&self, path: &Path) -> Option<PathBuf> {
        let relative = match (&self.mounted_at, path.is_absolute()) {
            (_, false) => path,
            (Some(mount), true) => path.strip_prefix(mount).ok()?,
            (None, true) => return None,
        };
        let mut plain = PathBuf::new();
        for component in relative.components() {
            match component {
                Component::Normal(name) => plain.push(name),
                Component::CurDir => {}
                Component::ParentDir if plain.pop() => {}
                _ => return None,
            }
        }
        Some(plain)
    }
}

impl Resolver for VolumeImages {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let path = match &reference.target {
            Target::File { path, .. } => path,
            Target::Protocol { scheme } => {
                let (name, scheme) = (reference.stored.clone(), scheme.clone());
                return Err(ReferenceError::Protocol { name, scheme });
            }
            _ => return Err(ReferenceError::Denied { kind: reference.kind, name: reference.stored.clone() }),
        };
        let inside = self
            .in_volume(path.as_path())
            .filter(|inside| self.roots.iter().any(|root| inside.starts_with(root)));
        let Some(inside) = inside else {
            let root = self.roots.first().or(self.mounted_at.as_ref()).cloned().unwrap_or_default();
            return Err(ReferenceError::Outside {
                kind: reference.kind,
                name: reference.stored.clone(),
                root,
            });
        };
        match self.volume.open_file(&FileRef::Path(inside)) {
            Ok(file) => Ok(source(file, path.clone())),
            Err(error) => Err(ReferenceError::Open { path: path.clone(), source: error.into() }),
        }
    }
}

fn source(file: ShardedFile, name: Name) -> Source {
    let id = FileId::Other(file.gfid().as_bytes().to_vec());
    Source::new(Arc::new(file), name, Some(id))
}
