//! The name of one run's snapshot.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of one still point, which every overlay of it carries in its file name.
///
/// 1 to 64 of the characters `A`-`Z`, `a`-`z`, `0`-`9`, `-` and `_`, so that it can stand in a file name, in
/// XML and on a command line as it is. By convention `stillpoint-20261123T051234Z-4f1c`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// Why a text is no [`Tag`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no tag: use 1 to 64 letters, digits, '-' and '_'")]
pub struct InvalidTag(pub String);

impl Tag {
    /// The longest tag, in bytes: overlay names stay far below the 255 bytes that file systems allow.
    pub const MAX_LEN: usize = 64;

    /// Takes a text as a tag.
    ///
    /// # Errors
    /// [`InvalidTag`] when it is empty, too long, or has other characters than a tag may have.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidTag> {
        let text = text.into();
        let fits = (1..=Self::MAX_LEN).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !text.starts_with('-');
        if fits { Ok(Self(text)) } else { Err(InvalidTag(text)) }
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the file of this path is an overlay of this tag: its name ends in `.TAG.qcow2`.
    #[must_use]
    pub fn marks(&self, path: &Path) -> bool {
        path.file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".qcow2"))
            .and_then(|name| name.strip_suffix(self.as_str()))
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        Self::new(text)
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidTag;

    fn try_from(text: String) -> Result<Self, InvalidTag> {
        Self::new(text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_marks_only_the_overlays_that_end_in_it() {
        let tag = Tag::new("stillpoint-20261123T051234Z-4f1c").unwrap();
        assert!(tag.marks(Path::new("/gv/vm/vda.stillpoint-20261123T051234Z-4f1c.qcow2")));
        assert!(!tag.marks(Path::new("/gv/vm/vda.qcow2")));
        assert!(!tag.marks(Path::new("/gv/vm/.stillpoint-20261123T051234Z-4f1c.qcow2")));
        assert!(!tag.marks(Path::new("/gv/vm/vda.xstillpoint-20261123T051234Z-4f1c.qcow2")));
        assert!(!tag.marks(Path::new("/gv/vm/vda.stillpoint-20261123T051234Z-4f1c.raw")));
    }

    #[test]
    fn what_could_leave_its_place_in_a_path_or_an_option_is_no_tag() {
        for text in ["", "a/b", "..", "a b", "a.b", "-x", "é", &"x".repeat(65)] {
            assert!(Tag::new(text).is_err(), "{text:?}");
        }
    }
}
