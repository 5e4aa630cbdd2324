//! What an image names outside of itself: its backing file and its external data file.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::Name;

mod json;

/// For what an image names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReferenceKind {
    /// It reads on in the other file where it has nothing itself.
    Backing,
    /// Its guest data is in the other file.
    DataFile,
}

impl fmt::Display for ReferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backing => "backing file",
            Self::DataFile => "data file",
        })
    }
}

/// What a name stands for, by QEMU's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A file. A relative path has been put behind the directory of the image that names it, as QEMU does for backing
    /// files; what is still relative then (and always what a `json:` name has) is so to the working directory.
    File {
        /// Its path.
        path: Name,
        /// Its format, where a `json:` name tells it.
        format: Option<Name>,
    },
    /// Something that another protocol than files leads to, such as `nbd://host/export`.
    Protocol {
        /// The name of the protocol, without the colon.
        scheme: Name,
    },
}

/// A name in an image, for a [`Resolver`](crate::Resolver) to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reference {
    /// What the file is named for.
    pub kind: ReferenceKind,
    /// The name of the image that names it, as the caller or an earlier reference gave it.
    pub image: Name,
    /// The name as stored in the image, up to its first NUL.
    pub stored: Name,
    /// What it stands for.
    pub target: Target,
}

/// A name that leads nowhere, or nowhere that is allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The policy opens nothing at all.
    #[error(
        "the image names the {kind} {name:?}, and nothing that an image names may be opened; \
        allow its directory if you trust it"
    )]
    Denied {
        /// What the file is named for.
        kind: ReferenceKind,
        /// The name as stored.
        name: Name,
    },
    /// The file is not where the policy allows it.
    #[error("the image names the {kind} {name:?}, which is not in {}, where such files may be; \
        allow another directory if you trust it", root.display())]
    Outside {
        /// What the file is named for.
        kind: ReferenceKind,
        /// The name as stored.
        name: Name,
        /// The directory that is allowed.
        root: PathBuf,
    },
    /// Not a file.
    #[error("the image names {name:?}, which is behind the protocol {scheme:?}; only files are opened here")]
    Protocol {
        /// The name as stored.
        name: Name,
        /// The protocol.
        scheme: Name,
    },
    /// A `json:` name that can't be understood, or asks for what isn't done here.
    #[error("the image names {name:?}: {problem}")]
    Json {
        /// The name as stored.
        name: Name,
        /// What is the matter.
        problem: String,
    },
    /// A relative name in an image that is itself named by `json:` or has no directory.
    #[error("the image names {name:?}, relative to {image:?}, which has no directory")]
    NoDirectory {
        /// The name as stored.
        name: Name,
        /// The name of the image.
        image: Name,
    },
    /// The file can't be opened.
    #[error("opening {path:?} failed")]
    Open {
        /// The path that was tried.
        path: Name,
        /// What the system says.
        source: io::Error,
    },
}

impl Reference {
    /// Judges the name `stored` in the image `image`.
    ///
    /// # Errors
    /// When it is a `json:` name that isn't understood, or relative where nothing is.
    pub fn parse(kind: ReferenceKind, image: &Name, stored: &Name) -> Result<Self, ReferenceError> {
        let target = match json::text(stored.as_bytes()) {
            Some(text) => {
                json::parse(text).map_err(|problem| ReferenceError::Json { name: stored.clone(), problem })?
            }
            None => plain(image, stored)?,
        };
        Ok(Self { kind, image: image.clone(), stored: stored.clone(), target })
    }
}

/// The full name of what `image` names `stored`, as `full-backing-filename` has it: a relative name behind the
/// image's directory, any other as it is. `None` where a relative name has no directory.
#[must_use]
pub(crate) fn full_name(image: &Name, stored: &Name) -> Option<Name> {
    let name = stored.as_bytes();
    if protocol(name).is_some() || name.first() == Some(&b'/') {
        return Some(stored.clone());
    }
    if json::text(image.as_bytes()).is_some() {
        return None;
    }
    let base = image.as_bytes();
    // The directory ends at the last slash, or where the protocol does.
    let after_protocol = protocol(base).map_or(0, |scheme| scheme.len() + 1);
    let after_slash = base.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    let directory = base.get(..after_protocol.max(after_slash)).unwrap_or_default();
    Some(Name::new([directory, name].concat()))
}

/// The protocol that a name begins with: what is before a colon that no slash precedes.
fn protocol(name: &[u8]) -> Option<&[u8]> {
    let at = name.iter().position(|&b| b == b':' || b == b'/')?;
    if name.get(at) == Some(&b':') { name.get(..at) } else { None }
}

fn plain(image: &Name, stored: &Name) -> Result<Target, ReferenceError> {
    let full = full_name(image, stored)
        .ok_or_else(|| ReferenceError::NoDirectory { name: stored.clone(), image: image.clone() })?;
    Ok(match protocol(full.as_bytes()) {
        None => Target::File { path: full, format: None },
        Some(b"file") => {
            Target::File { path: Name::new(full.as_bytes().get(5..).unwrap_or_default()), format: None }
        }
        Some(scheme) => Target::Protocol { scheme: Name::new(scheme) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(image: &str, stored: &str) -> Option<String> {
        full_name(&image.into(), &stored.into()).map(|name| name.to_text())
    }

    fn target(image: &str, stored: &str) -> Target {
        Reference::parse(ReferenceKind::Backing, &image.into(), &stored.into()).expect("it parses").target
    }

    #[test]
    fn a_relative_name_goes_behind_the_directory_of_its_image() {
        assert_eq!(full("c.qcow2", "b.qcow2").as_deref(), Some("b.qcow2"));
        assert_eq!(full("sub/d.qcow2", "../a.qcow2").as_deref(), Some("sub/../a.qcow2"));
        assert_eq!(full("/vm/d.qcow2", "a").as_deref(), Some("/vm/a"));
        assert_eq!(full("nbd://host/x", "a").as_deref(), Some("nbd://host/a"));
        assert_eq!(full("fat:x", "a").as_deref(), Some("fat:a"));
        assert_eq!(full("json:{}", "a"), None);
    }

    #[test]
    fn absolute_names_and_protocols_stay_as_they_are() {
        assert_eq!(full("sub/d.qcow2", "/vm/a").as_deref(), Some("/vm/a"));
        assert_eq!(full("sub/d.qcow2", "nbd://host/x").as_deref(), Some("nbd://host/x"));
        assert_eq!(full("sub/d.qcow2", "odd:name").as_deref(), Some("odd:name"));
        assert_eq!(full("json:{}", "json:{}").as_deref(), Some("json:{}"));
    }

    #[test]
    fn a_colon_after_a_slash_is_part_of_a_path() {
        assert_eq!(target("d", "./a:b"), Target::File { path: "./a:b".into(), format: None });
        assert_eq!(target("d", "nbd://h/x"), Target::Protocol { scheme: "nbd".into() });
        assert_eq!(target("sub/d", "file:x"), Target::File { path: "x".into(), format: None });
    }

    #[test]
    fn json_names_are_relative_to_the_working_directory() {
        let name = r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"a.qcow2"}}"#;
        let expected = Target::File { path: "a.qcow2".into(), format: Some("qcow2".into()) };
        assert_eq!(target("sub/d.qcow2", name), expected);
    }
}
