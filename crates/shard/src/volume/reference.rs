//! How a file of a volume is named.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use uuid::Uuid;

use crate::ShardError;

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileRef {
    /// By its path, relative to the volume's root. A leading `/` makes no difference.
    Path(PathBuf),
    /// By its gfid.
    Gfid(Uuid),
}

impl FromStr for FileRef {
    type Err = ShardError;

    /// Reads a path, or `gfid:UUID`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("gfid:") {
            Some(gfid) => gfid.parse().map(Self::Gfid).map_err(|_| ShardError::BadPath {
                path: text.to_owned(),
                problem: "what follows gfid: is no UUID",
            }),
            None => Ok(Self::Path(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Gfid(gfid) => write!(f, "gfid:{gfid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_path_or_a_gfid() {
        let gfid: FileRef = "gfid:8288bb2d-9cb3-4e0e-ac63-0cd006357ddc".parse().unwrap();
        assert_eq!(gfid.to_string(), "gfid:8288bb2d-9cb3-4e0e-ac63-0cd006357ddc");
        assert_eq!("vms/a.qcow2".parse::<FileRef>().unwrap(), FileRef::Path("vms/a.qcow2".into()));
        assert!("gfid:8288".parse::<FileRef>().is_err());
    }
}
