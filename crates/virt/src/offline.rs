//! Committing the overlay of a domain that is off.
//!
//! Libvirt commits only what runs. For a domain that was shut down from inside, or whose QEMU died, QEMU's own tool
//! does it on the files: it takes QEMU's locks on both, so that it fails while the domain uses them, and the domain
//! doesn't start while it works. The overlay is left as it is: until the definition names the base, overlay and base
//! together are the disk, however far the commit got.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use crate::process::{self, Failure};

/// How long one commit may take by default.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// Commits overlays of domains that are off.
pub trait OfflineCommit: Sync {
    /// Writes all that the overlay holds into the base right below it, and leaves the overlay as it is.
    ///
    /// Must fail, with nothing written, while a domain uses one of the files. May be asked again of the same files
    /// after it failed half way.
    ///
    /// # Errors
    /// When not all of it is known to be in the base.
    fn commit(&self, overlay: &Path, base: &Path) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// The program `qemu-img`.
#[derive(Debug, Clone)]
pub struct QemuImg {
    prefix: Vec<String>,
    program: String,
    deadline: Duration,
}

impl Default for QemuImg {
    fn default() -> Self {
        Self { prefix: Vec::new(), program: "qemu-img".into(), deadline: DEADLINE }
    }
}

impl QemuImg {
    /// The program of that name in the search path.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs it through this command, such as `["nsenter", "-t", "42", "-m"]`.
    #[must_use]
    pub fn prefixed(mut self, argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.prefix = argv.into_iter().map(Into::into).collect();
        self
    }

    /// Uses this program instead.
    #[must_use]
    pub fn program(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// Gives each commit this long before its process is killed.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl OfflineCommit for QemuImg {
    fn commit(&self, overlay: &Path, base: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
        let utf8 = |path: &Path| path.to_str().map(str::to_owned).ok_or("its path is not UTF-8");
        let mut argv = self.prefix.clone();
        argv.extend(["env", "LC_ALL=C"].map(str::to_owned));
        argv.push(self.program.clone());
        // `-d`: the overlay isn't emptied. `-b`: that file, or nothing.
        argv.extend(["commit", "-q", "-d", "-f", "qcow2", "-b"].map(str::to_owned));
        argv.extend([utf8(base)?, "--".to_owned(), utf8(overlay)?]);
        let ended = process::run(&argv, "", self.deadline).map_err(|failure| match failure {
            Failure::Start(error) => format!("{} can't be run: {error}", self.program),
            Failure::Deadline => format!("{} did not end within {:.0?}", self.program, self.deadline),
        })?;
        match (ended.success, ended.stderr.trim()) {
            (true, _) => Ok(()),
            (false, "") => Err(format!("{} failed and did not say why", self.program).into()),
            (false, said) => Err(said.lines().map(str::trim).collect::<Vec<_>>().join(" ").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_says_is_the_error() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("qemu-img");
        std::fs::write(&script, "#!/bin/sh\necho \"asked: $*\" >&2\nexit 1\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = QemuImg::new().program(script.to_str().unwrap());
        let said = program.commit(Path::new("/o"), Path::new("/b")).unwrap_err().to_string();
        assert_eq!(said, "asked: commit -q -d -f qcow2 -b /b -- /o");
        let missing = QemuImg::new().program("/nonexistent/qemu-img");
        let said = missing.commit(Path::new("/o"), Path::new("/b")).unwrap_err().to_string();
        assert!(said.contains("/nonexistent/qemu-img"), "{said}");
    }
}
