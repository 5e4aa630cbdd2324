//! Whether the far side can be reached at all. Workers call themselves Active long after a link is cut.

use std::time::Duration;

use crate::error::Error;
use crate::runner::{Limit, RunError};
use crate::session::{Session, SessionConfig};

/// How long one probe may take.
const PROBE_LIMIT: Duration = Duration::from_secs(6);

/// Asks the far side's sshd, which is what replication goes through, for its banner.
///
/// `ssh-keyscan` opens a connection and authenticates nothing, so that no failed login is counted anywhere.
#[derive(Debug)]
pub(super) struct Reach {
    host: String,
    port: String,
    next: Duration,
    /// Since when it has not been reached, and what was said last.
    lost: Option<(Duration, String)>,
    /// No probe is possible: the program is missing.
    off: bool,
}

impl Reach {
    pub(super) fn new(session: &Session, config: &SessionConfig) -> Self {
        let port = config.get("ssh-port").filter(|p| p.parse::<u16>().is_ok()).unwrap_or("22");
        Self {
            host: session.name().secondary_host().trim_matches(['[', ']']).to_owned(),
            port: port.to_owned(),
            next: Duration::ZERO,
            lost: None,
            off: false,
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Waits with the next probe until `time`.
    pub(super) fn not_before(&mut self, time: Duration) {
        self.next = self.next.max(time);
    }

    /// Makes the next probe due.
    pub(super) fn now(&mut self) {
        self.next = Duration::ZERO;
    }

    /// For how long the far side has not been reached, and why, as of `now`.
    pub(super) fn lost(&self, now: Duration) -> Option<(Duration, &str)> {
        self.lost.as_ref().map(|(since, why)| (now.saturating_sub(*since), why.as_str()))
    }

    /// Probes if it is time to, and tells whether it did.
    pub(super) fn probe(
        &mut self,
        session: &Session,
        every: Duration,
        limit: &Limit<'_>,
    ) -> Result<bool, Error> {
        let now = session.clock().elapsed();
        if self.off || now < self.next {
            return Ok(false);
        }
        self.next = now + every;
        let argv = ["ssh-keyscan", "-T", "4", "-t", "ed25519", "-p", &self.port, "--", &self.host];
        let limit = Limit { timeout: limit.timeout.min(PROBE_LIMIT), cancel: limit.cancel };
        let answer = match session.runner().run(&argv, &limit) {
            Ok(answer) => answer,
            Err(RunError::Spawn { .. }) => {
                self.off = true;
                return Ok(false);
            }
            Err(RunError::TimedOut { .. }) => {
                self.note(now, "its sshd does not answer".to_owned());
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        let out = String::from_utf8_lossy(&answer.stdout);
        let err = String::from_utf8_lossy(&answer.stderr);
        if out.contains("SSH-") || err.contains("SSH-") {
            self.lost = None;
        } else if answer.code == Some(127) {
            // A shell at the end of the prefix found no such program.
            self.off = true;
        } else {
            let said = crate::cli::clip(&err, 200);
            let silent = format!("its sshd does not answer at port {}", self.port);
            self.note(now, if said.is_empty() { silent } else { said });
        }
        Ok(true)
    }

    fn note(&mut self, now: Duration, why: String) {
        match &mut self.lost {
            Some((_, last)) => *last = why,
            None => self.lost = Some((now, why)),
        }
    }
}
