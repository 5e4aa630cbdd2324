//! The name of a session: primary volume, secondary host and volume, and the user at the far side.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which geo-replication session: a primary volume and where it goes.
///
/// Reads from `gv1 siteB::gv2`, `gv1::siteB::gv2`, `gv1 user@siteB::gv2` and `gv1 ssh://siteB::gv2`. Hosts may be
/// IPv6 addresses, bare or in brackets: a volume's name holds no colon, so the first separator ends the primary
/// volume and the last `::` begins the secondary volume.
///
/// ```
/// use stillpoint_georep::SessionName;
///
/// let name: SessionName = "gv1 2001:db8::7::gv2".parse()?;
/// assert_eq!(name.secondary_host(), "2001:db8::7");
/// assert_eq!(name.to_string(), "gv1 2001:db8::7::gv2");
/// # Ok::<(), stillpoint_georep::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionName {
    primary_volume: String,
    user: Option<String>,
    secondary_host: String,
    secondary_volume: String,
}

/// Why a text is not the name of a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There are not three parts.
    #[error("{0:?} is not a session: write it as 'PRIMARY-VOLUME SECONDARY-HOST::SECONDARY-VOLUME'")]
    Shape(String),
    /// A volume's name has characters that Gluster does not allow in one (letters, digits, `_` and `-`).
    #[error("{0:?} is not a volume's name: letters, digits, '_' and '-' only, and no '-' in front")]
    Volume(String),
    /// The host or user is empty or has characters that no host or user has.
    #[error("{0:?} is not a host (or user@host)")]
    Host(String),
}

impl SessionName {
    /// The session from `primary_volume` to `secondary_volume` at `secondary_host`, as root.
    ///
    /// # Errors
    /// [`NameError`] if a part can't be what it should be.
    pub fn new(
        primary_volume: &str,
        secondary_host: &str,
        secondary_volume: &str,
    ) -> Result<Self, NameError> {
        let (user, host) = match secondary_host.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, secondary_host),
        };
        let word = |s: &str| {
            !s.is_empty() && !s.starts_with('-') && s.len() <= 255 && s.chars().all(|c| c.is_ascii_graphic())
        };
        if !word(host) || host.contains(['/', '@', '\'', '"', '\\', ';', '&', '|', '$', '`']) {
            return Err(NameError::Host(secondary_host.to_owned()));
        }
        if user
            .is_some_and(|u| !word(u) || !u.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)))
        {
            return Err(NameError::Host(secondary_host.to_owned()));
        }
        for volume in [primary_volume, secondary_volume] {
            if !word(volume) || !volume.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
                return Err(NameError::Volume(volume.to_owned()));
            }
        }
        Ok(Self {
            primary_volume: primary_volume.to_owned(),
            // root@host and host are the same session.
            user: user.filter(|u| *u != "root").map(str::to_owned),
            secondary_host: host.to_owned(),
            secondary_volume: secondary_volume.to_owned(),
        })
    }

    /// The volume that is replicated.
    #[must_use]
    pub fn primary_volume(&self) -> &str {
        &self.primary_volume
    }

    /// The host at the far side that the session was created with.
    #[must_use]
    pub fn secondary_host(&self) -> &str {
        &self.secondary_host
    }

    /// The volume at the far side.
    #[must_use]
    pub fn secondary_volume(&self) -> &str {
        &self.secondary_volume
    }

    /// The user at the far side; `None` is root. Other users (mountbroker sessions) can't set `trusted.*`
    /// xattrs, and so lose the sizes of sharded files.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The far end as the `gluster` command takes it: `[user@]host::volume`.
    #[must_use]
    pub fn secondary(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}@{}::{}", self.secondary_host, self.secondary_volume),
            None => format!("{}::{}", self.secondary_host, self.secondary_volume),
        }
    }

    /// What gsyncd calls the directory of this session, below `/var/lib/glusterd/geo-replication` and
    /// `/var/log/glusterfs/geo-replication`: `gv1_siteB_gv2`.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("{}_{}_{}", self.primary_volume, self.secondary_host, self.secondary_volume)
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.primary_volume, self.secondary())
    }
}

impl FromStr for SessionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let shape = || NameError::Shape(text.to_owned());
        let trimmed = text.trim();
        let (primary, rest) = match trimmed.split_once(char::is_whitespace) {
            Some((primary, rest)) => (primary, rest.trim_start()),
            None => trimmed.split_once("::").ok_or_else(shape)?,
        };
        let rest = rest.strip_prefix("ssh://").unwrap_or(rest);
        let (host, volume) = rest.rsplit_once("::").ok_or_else(shape)?;
        Self::new(primary, host, volume)
    }
}

impl TryFrom<String> for SessionName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<SessionName> for String {
    fn from(name: SessionName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_session_reads_as_the_same_one() {
        for text in
            ["gv1 siteB::gv2", "gv1::siteB::gv2", " gv1   ssh://root@siteB::gv2 ", "gv1 root@siteB::gv2"]
        {
            let name: SessionName = text.parse().unwrap();
            assert_eq!(name.to_string(), "gv1 siteB::gv2", "{text}");
            assert_eq!(name.directory(), "gv1_siteB_gv2");
            assert_eq!(name.user(), None);
        }
    }

    #[test]
    fn ipv6_hosts_are_split_at_the_last_separator() {
        for (text, host) in [
            ("gv1 2001:db8::7::gv2", "2001:db8::7"),
            ("gv1::fe80::1::gv2", "fe80::1"),
            ("gv1 [2001:db8::7]::gv2", "[2001:db8::7]"),
            ("gv1 geo@::1::gv2", "::1"),
        ] {
            let name: SessionName = text.parse().unwrap();
            assert_eq!(
                (name.primary_volume(), name.secondary_host(), name.secondary_volume()),
                ("gv1", host, "gv2")
            );
            assert_eq!(name.to_string().parse::<SessionName>().unwrap(), name);
        }
    }

    #[test]
    fn what_a_command_line_could_misread_is_refused() {
        for text in [
            "",
            "gv1",
            "gv1 siteB",
            "gv1 siteB:gv2",
            "--xml siteB::gv2",
            "gv1 -oProxy::gv2",
            "gv1 a b::gv2",
            "gv/1 b::c",
            "gv1 ::gv2",
            "gv1 b::",
        ] {
            assert!(text.parse::<SessionName>().is_err(), "{text:?}");
        }
    }
}
