//! Volfiles: the graph of translators that a client of Gluster's runs, as glusterd hands it out (`VOLUME.tcp-fuse.vol`).
//!
//! Each block names a translator, its type, its options, and the translators below it, which stand before it:
//!
//! ```text
//! volume gv1-client-0
//!     type protocol/client
//!     option remote-host siteA
//! end-volume
//! ```
//!
//! Only options that are named here are taken over. The others may be the volume's user name and password, which are
//! never copied out of the text, and no error quotes it.

use std::collections::{BTreeMap, HashSet};

/// No more translators than this are taken from one volfile.
const TRANSLATORS_LIMIT: usize = 1 << 16;

/// What a client needs to know of where a brick is.
pub const REMOTE_HOST: &str = "remote-host";
/// The brick's root on that host.
pub const REMOTE_SUBVOLUME: &str = "remote-subvolume";
/// The names under which AFR counts changes, in the order of its bricks.
pub const AFR_PENDING_XATTR: &str = "afr-pending-xattr";
/// How many bricks of a replica set are arbiters: the last ones.
pub const ARBITER_COUNT: &str = "arbiter-count";
/// Where a replica set's thin arbiter is, which then is the last translator below it and no brick.
pub const THIN_ARBITER: &str = "thin-arbiter";
/// How many bricks of a disperse set may be lost.
pub const REDUNDANCY: &str = "redundancy";
/// The subvolumes that are being removed.
pub const DECOMMISSIONED_BRICKS: &str = "decommissioned-bricks";
/// DHT's option of that name.
pub const RSYNC_HASH_REGEX: &str = "rsync-hash-regex";
/// DHT's option of that name.
pub const EXTRA_HASH_REGEX: &str = "extra-hash-regex";
/// The volume's id, which replica sets have.
pub const VOLUME_ID: &str = "volume-id";

/// The options that are taken over.
const KEPT: [&str; 10] = [
    REMOTE_HOST,
    REMOTE_SUBVOLUME,
    AFR_PENDING_XATTR,
    ARBITER_COUNT,
    THIN_ARBITER,
    REDUNDANCY,
    DECOMMISSIONED_BRICKS,
    RSYNC_HASH_REGEX,
    EXTRA_HASH_REGEX,
    VOLUME_ID,
];

/// One translator of a volfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Translator {
    /// Its name; no other of the volfile has it.
    pub name: String,
    /// Its type, such as `cluster/replicate`.
    pub kind: String,
    /// Those of its options that matter to a reader.
    pub options: BTreeMap<&'static str, String>,
    /// The names of the translators below it, each of which stands before it.
    pub subvolumes: Vec<String>,
}

impl Translator {
    /// An option's value, if it is set.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }
}

/// A volfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Volfile {
    /// Its translators in their order, the lowest first; at least one.
    pub translators: Vec<Translator>,
}

impl Volfile {
    /// Parses the text of a volfile.
    ///
    /// # Errors
    /// A sentence on the line that can't be understood, or on what is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser::default();
        for (number, line) in text.lines().enumerate() {
            parser.line(line).map_err(|problem| format!("line {}: {problem}", number + 1))?;
        }
        parser.finish()
    }
}

/// Takes a volfile line by line.
#[derive(Debug, Default)]
pub(super) struct Parser {
    translators: Vec<Translator>,
    names: HashSet<String>,
    open: Option<Translator>,
}

impl Parser {
    /// Takes a line. The error is a sentence, and does not quote the line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim_start();
        match (keyword, &mut self.open) {
            ("volume", None) => {
                if rest.is_empty() || rest.contains(char::is_whitespace) {
                    return Err("a translator has no name of one word");
                }
                if self.translators.len() >= TRANSLATORS_LIMIT {
                    return Err("there are more than 65536 translators");
                }
                self.open = Some(Translator { name: rest.to_owned(), ..Translator::default() });
            }
            ("type", Some(open)) if open.kind.is_empty() && !rest.is_empty() => {
                rest.clone_into(&mut open.kind);
            }
            ("option", Some(open)) => {
                let (key, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                if let Some(key) = KEPT.iter().find(|kept| **kept == key) {
                    let value = value.trim();
                    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                    open.options.insert(key, quoted.unwrap_or(value).to_owned());
                }
            }
            ("subvolumes", Some(open)) if open.subvolumes.is_empty() => {
                for name in rest.split_whitespace() {
                    // Gluster asks for this order, too; so no translator can be below itself.
                    if !self.names.contains(name) {
                        return Err("a translator stands on one that is not defined before it");
                    }
                    open.subvolumes.push(name.to_owned());
                }
            }
            ("end-volume", Some(open)) if rest.is_empty() => {
                if open.kind.is_empty() {
                    return Err("a translator ends that has no type");
                }
                if !self.names.insert(open.name.clone()) {
                    return Err("two translators have the same name");
                }
                self.translators.extend(self.open.take());
            }
            _ => return Err("it has no place in a volfile there"),
        }
        Ok(())
    }

    /// The volfile, if it is whole.
    pub(super) fn finish(self) -> Result<Volfile, String> {
        if self.open.is_some() {
            return Err("it ends within a translator".to_owned());
        }
        if self.translators.is_empty() {
            return Err("there is no translator in it".to_owned());
        }
        Ok(Volfile { translators: self.translators })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# made by hand\nvolume a\n    type protocol/client\n    option password 9d1b3e-secret\n    \
        option remote-host \"siteA\"\n    option remote-subvolume /b/a#\"b\nend-volume\n\nvolume top\n    type cluster/distribute\n    \
        subvolumes a\nend-volume\n";

    #[test]
    fn translators_options_and_what_they_stand_on_are_read_and_no_credentials() {
        let volfile = Volfile::parse(TEXT).unwrap();
        let [client, top] = volfile.translators.as_slice() else { panic!("{volfile:?}") };
        assert_eq!((client.option(REMOTE_HOST), client.option("password")), (Some("siteA"), None));
        // Gluster writes values as they are.
        assert_eq!(client.option(REMOTE_SUBVOLUME), Some("/b/a#\"b"));
        assert_eq!(
            (top.kind.as_str(), top.subvolumes.as_slice()),
            ("cluster/distribute", &["a".to_owned()][..])
        );
        assert!(!format!("{volfile:?}").contains("secret"));
    }

    #[test]
    fn what_is_no_volfile_is_refused_and_not_quoted() {
        for (from, to) in [
            ("volume a\n", "volume a b\n"),
            ("volume a\n", ""),
            ("volume top", "volume a"),
            ("type protocol/client\n", ""),
            ("type protocol/client", "type protocol/client\n type x"),
            ("subvolumes a", "subvolumes b"),
            ("subvolumes a", "subvolumes top"),
            ("end-volume\n\n", ""),
            ("option password", "password"),
        ] {
            assert!(TEXT.contains(from));
            let error = Volfile::parse(&TEXT.replacen(from, to, 1)).unwrap_err();
            assert!(error.starts_with("line ") && !error.contains("secret"), "{from:?} -> {to:?}: {error}");
        }
        let cut = TEXT.strip_suffix("end-volume\n").unwrap();
        assert!(Volfile::parse(cut).is_err() && Volfile::parse("").is_err());
    }
}
