//! The backend over the program `virsh`.
//!
//! One process a call, with a deadline. Decisions are taken from XML alone; of virsh's texts only bare numbers and
//! names are read (counts, `key=value` lines, lists of UUIDs), in the C locale, and the kind of an error.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::call::{CallError, CallErrorKind, classify};
use crate::process;
use crate::{
    Backend, BlockJob, CommitSpec, DomainId, DomainState, Error, Hypervisor, Version, Versions, Which,
};

/// Calls of virsh that answer at once by their nature get this long by default.
const DEADLINE: Duration = Duration::from_secs(120);
/// The prefix under which metadata elements are stored in the XML.
const METADATA_KEY: &str = "stillpoint";

/// A hypervisor reached through the program `virsh`.
#[derive(Debug, Clone)]
pub struct Virsh {
    uri: String,
    prefix: Vec<String>,
    program: String,
    deadline: Duration,
}

impl Virsh {
    /// A backend for this connect URI. Nothing is started yet.
    #[must_use]
    pub fn new(uri: impl Into<String>) -> Self {
        Self { uri: uri.into(), prefix: Vec::new(), program: "virsh".into(), deadline: DEADLINE }
    }

    /// A backend for this connect URI that was reached once.
    ///
    /// # Errors
    /// When `virsh` is missing or can't connect.
    pub fn connect(uri: impl Into<String>) -> Result<Self, Error> {
        let virsh = Self::new(uri);
        virsh.domains()?;
        Ok(virsh)
    }

    /// Runs virsh through this command, such as `["ssh", "host"]` or `["nsenter", "-t", "42", "-m"]`. The command
    /// must pass stdin on.
    #[must_use]
    pub fn prefixed(mut self, argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.prefix = argv.into_iter().map(Into::into).collect();
        self
    }

    /// Uses this program instead of `virsh`.
    #[must_use]
    pub fn program(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// Gives each call this long before its process is killed.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    fn argv(&self, arguments: &[&str]) -> Vec<String> {
        let mut argv = self.prefix.clone();
        // Not every prefix passes the environment on.
        argv.extend(["env", "LC_ALL=C", "LANGUAGE=C"].map(str::to_owned));
        argv.push(self.program.clone());
        // Not --quiet: it swallows how many file systems were frozen.
        argv.extend(["--connect", &self.uri].map(str::to_owned));
        argv.extend(arguments.iter().map(|&argument| argument.to_owned()));
        argv
    }

    fn call(
        &self,
        call: &'static str,
        domain: Option<&DomainId>,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, CallError> {
        self.call_within(self.deadline, call, domain, arguments, input)
    }

    fn call_within(
        &self,
        deadline: Duration,
        call: &'static str,
        domain: Option<&DomainId>,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, CallError> {
        let name = domain.map(|domain| domain.name.as_str());
        let uuid = domain.map(|domain| domain.uuid.to_string());
        let mut all = vec![call];
        if let Some(uuid) = &uuid {
            all.extend(["--domain", uuid]);
        }
        all.extend(arguments);
        let ended = process::run(&self.argv(&all), input, deadline).map_err(|error| match error {
            process::Failure::Start(error) => CallError::new(
                call,
                name,
                CallErrorKind::Connection,
                format!("can't run {}: {error}", self.program),
            ),
            process::Failure::Deadline => CallError::deadline(call, name, deadline),
        })?;
        if ended.success {
            return Ok(ended.stdout);
        }
        let message = message(&ended.stderr);
        Err(CallError::new(call, name, classify(&message), message))
    }

    fn on(&self, call: &'static str, domain: &DomainId, arguments: &[&str]) -> Result<String, CallError> {
        self.call(call, Some(domain), arguments, "")
    }

    /// Whether the domain is among those that `virsh list` shows with this option.
    fn is_listed(&self, domain: &DomainId, option: &str) -> Result<bool, CallError> {
        let uuid = domain.uuid.to_string();
        let listed = |options: &[&str]| {
            let text = self.call("list", None, options, "")?;
            Ok(text.lines().any(|line| line.trim() == uuid))
        };
        if !listed(&["--all", "--uuid"])? {
            let message = "no domain with this UUID";
            return Err(CallError::new("list", Some(&domain.name), CallErrorKind::NoDomain, message));
        }
        listed(&["--all", "--uuid", option])
    }

    fn count(&self, call: &'static str, domain: &DomainId, arguments: &[&str]) -> Result<u32, CallError> {
        let lines = self.on(call, domain, arguments)?;
        Ok(u32::try_from(lines.lines().filter(|line| !line.trim().is_empty()).count()).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Virsh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.program, self.uri)
    }
}

impl Hypervisor for Virsh {
    fn backend(&self) -> Backend {
        Backend::Virsh
    }

    fn uri(&self) -> &str {
        &self.uri
    }

    fn versions(&self) -> Result<Versions, CallError> {
        let text = self.call("version", None, &["--daemon"], "")?;
        let after = |what: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(what))?;
            line.split_whitespace().last()?.parse::<Version>().ok()
        };
        Ok(Versions {
            libvirt: after("Running against daemon:").or_else(|| after("Using library:")),
            hypervisor: after("Running hypervisor:"),
        })
    }

    fn domains(&self) -> Result<Vec<DomainId>, CallError> {
        let text = self.call("list", None, &["--all", "--uuid", "--name"], "")?;
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                let (uuid, name) = line.trim().split_once(char::is_whitespace).unwrap_or((line, ""));
                let uuid = Uuid::parse_str(uuid).map_err(|_| unreadable("list", None, line))?;
                Ok(DomainId { uuid, name: name.trim().to_owned() })
            })
            .collect()
    }

    fn find(&self, name_or_uuid: &str) -> Result<DomainId, CallError> {
        pick("list", self.domains()?, name_or_uuid)
    }

    fn state(&self, domain: &DomainId) -> Result<DomainState, CallError> {
        let text = self.on("domstats", domain, &["--state", "--raw"])?;
        let state = value(&text, "state.state").ok_or_else(|| unreadable("domstats", Some(domain), &text))?;
        let reason = value(&text, "state.reason").unwrap_or(0);
        Ok(DomainState::from_numbers(
            u32::try_from(state).unwrap_or(u32::MAX),
            u32::try_from(reason).unwrap_or(u32::MAX),
        ))
    }

    fn is_persistent(&self, domain: &DomainId) -> Result<bool, CallError> {
        self.is_listed(domain, "--persistent")
    }

    fn xml(&self, domain: &DomainId, which: Which) -> Result<String, CallError> {
        let options: &[&str] = match which {
            Which::Live => &[],
            Which::Inactive => &["--inactive"],
            Which::InactiveWithSecrets => &["--inactive", "--security-info"],
        };
        self.on("dumpxml", domain, options)
    }

    fn set_agent_timeout(&self, domain: &DomainId, timeout: Duration) -> Result<(), CallError> {
        let seconds = timeout.as_secs().max(1).to_string();
        self.on("guest-agent-timeout", domain, &["--timeout", &seconds]).map(drop)
    }

    fn freeze(&self, domain: &DomainId) -> Result<u32, CallError> {
        let text = self.on("domfsfreeze", domain, &[])?;
        number(&text).ok_or_else(|| unreadable("domfsfreeze", Some(domain), &text))
    }

    fn thaw(&self, domain: &DomainId) -> Result<u32, CallError> {
        // It thawed, whatever it says about it.
        Ok(number(&self.on("domfsthaw", domain, &[])?).unwrap_or(0))
    }

    fn snapshot(&self, domain: &DomainId, xml: &str) -> Result<(), CallError> {
        let options = ["--xmlfile", "/dev/stdin", "--disk-only", "--atomic", "--no-metadata", "--validate"];
        self.call("snapshot-create", Some(domain), &options, xml).map(drop)
    }

    fn snapshot_internal(&self, domain: &DomainId, xml: &str, deadline: Duration) -> Result<(), CallError> {
        let options = ["--xmlfile", "/dev/stdin", "--validate"];
        self.call_within(deadline, "snapshot-create", Some(domain), &options, xml).map(drop)
    }

    fn snapshots(&self, domain: &DomainId) -> Result<Vec<String>, CallError> {
        let text = self.on("snapshot-list", domain, &["--name"])?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    fn delete_snapshot(&self, domain: &DomainId, name: &str) -> Result<(), CallError> {
        self.on("snapshot-delete", domain, &["--snapshotname", name]).map(drop)
    }

    fn commit(&self, domain: &DomainId, spec: &CommitSpec) -> Result<(), CallError> {
        let (base, top) = (spec.base.to_string_lossy(), spec.top.to_string_lossy());
        let bandwidth = spec.bandwidth.unwrap_or(0).to_string();
        let mut options = vec!["--path", &spec.target, "--active", "--base", &*base, "--top", &*top];
        if spec.bandwidth.is_some() {
            options.extend(["--bytes", "--bandwidth", &bandwidth]);
        }
        self.on("blockcommit", domain, &options).map(drop)
    }

    fn block_job(&self, domain: &DomainId, target: &str) -> Result<Option<BlockJob>, CallError> {
        let text = self.on("blockjob", domain, &["--path", target, "--raw"])?;
        Ok(value(&text, "cur").zip(value(&text, "end")).map(|(current, end)| BlockJob { current, end }))
    }

    fn pivot(&self, domain: &DomainId, target: &str) -> Result<(), CallError> {
        self.on("blockjob", domain, &["--path", target, "--pivot"]).map(drop)
    }

    fn cancel_job(&self, domain: &DomainId, target: &str) -> Result<(), CallError> {
        self.on("blockjob", domain, &["--path", target, "--abort"]).map(drop)
    }

    fn suspend(&self, domain: &DomainId) -> Result<(), CallError> {
        self.on("suspend", domain, &[]).map(drop)
    }

    fn resume(&self, domain: &DomainId) -> Result<(), CallError> {
        self.on("resume", domain, &[]).map(drop)
    }

    fn define(&self, xml: &str) -> Result<(), CallError> {
        self.call("define", None, &["--file", "/dev/stdin"], xml).map(drop)
    }

    fn set_metadata(&self, domain: &DomainId, namespace: &str, xml: Option<&str>) -> Result<(), CallError> {
        let mut options = vec!["--uri", namespace, "--config"];
        if self.state(domain)?.is_active() {
            options.push("--live");
        }
        match xml {
            Some(xml) => options.extend(["--key", METADATA_KEY, "--set", xml]),
            None => options.push("--remove"),
        }
        self.on("metadata", domain, &options).map(drop)
    }

    fn metadata(&self, domain: &DomainId, namespace: &str) -> Result<Option<String>, CallError> {
        match self.on("metadata", domain, &["--uri", namespace, "--config"]) {
            // Some versions print nothing where there is nothing, others an error.
            Ok(xml) => Ok(Some(xml.trim().to_owned()).filter(|xml| !xml.is_empty())),
            Err(error) if error.message.contains("metadata not found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn has_task(&self, domain: &DomainId) -> Result<bool, CallError> {
        let text = self.on("domjobinfo", domain, &[])?;
        let kind = text.lines().find_map(|line| line.trim().strip_prefix("Job type:"));
        let kind = kind.ok_or_else(|| unreadable("domjobinfo", Some(domain), &text))?;
        Ok(kind.trim() != "None")
    }

    fn capacity(&self, domain: &DomainId, target: &str) -> Result<u64, CallError> {
        let text = self.on("domblkinfo", domain, &["--device", target])?;
        let bytes = text.lines().find_map(|line| line.trim().strip_prefix("Capacity:")?.trim().parse().ok());
        bytes.ok_or_else(|| unreadable("domblkinfo", Some(domain), &text))
    }

    fn has_saved_state(&self, domain: &DomainId) -> Result<bool, CallError> {
        self.is_listed(domain, "--with-managed-save")
    }

    fn snapshot_count(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.count("snapshot-list", domain, &["--name"])
    }

    fn checkpoint_count(&self, domain: &DomainId) -> Result<u32, CallError> {
        self.count("checkpoint-list", domain, &["--name"])
    }
}

/// The domain of this name, else of this UUID.
pub(crate) fn pick(
    call: &'static str,
    domains: Vec<DomainId>,
    name_or_uuid: &str,
) -> Result<DomainId, CallError> {
    let uuid = Uuid::parse_str(name_or_uuid).ok();
    let found = domains.iter().find(|domain| domain.name == name_or_uuid);
    let found = found.or_else(|| domains.iter().find(|domain| Some(domain.uuid) == uuid));
    found.cloned().ok_or_else(|| {
        let message = "no domain of this name or UUID is known there";
        CallError::new(call, Some(name_or_uuid), CallErrorKind::NoDomain, message)
    })
}

/// The number in "Froze 2 filesystem(s)".
fn number(text: &str) -> Option<u32> {
    text.split_whitespace().find_map(|word| word.parse().ok())
}

/// The number behind `key=` on a line of its own.
fn value(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .find(|(found, _)| *found == key)
        .and_then(|(_, value)| value.trim().parse().ok())
}

/// What virsh printed to stderr, its last error in one line: the earlier ones only say which command failed.
fn message(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.iter().rposition(|line| line.starts_with("error:")).unwrap_or(0);
    let text = lines.get(last..).unwrap_or_default().join(" ");
    let text = text.strip_prefix("error:").map_or(text.as_str(), str::trim);
    if text.is_empty() { "virsh failed and did not say why".to_owned() } else { text.to_owned() }
}

fn unreadable(call: &'static str, domain: Option<&DomainId>, text: &str) -> CallError {
    let shown: String = text.chars().take(200).collect();
    let name = domain.map(|domain| domain.name.as_str());
    CallError::new(call, name, CallErrorKind::Answer, format!("can't understand virsh's answer {shown:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_errors_the_last_is_the_cause() {
        let stderr = "error: Failed to get domain 'x'\nerror: Domain not found: no domain\n with it\n\n";
        assert_eq!(message(stderr), "Domain not found: no domain with it");
        assert_eq!(message(""), "virsh failed and did not say why");
        assert_eq!(message("bash: no virsh"), "bash: no virsh");
    }

    #[test]
    fn numbers_are_read_by_their_whole_key() {
        let text = "Domain: 'a'\n  state.state=1\n  state.reason=5\n";
        assert_eq!(value(text, "state.state"), Some(1));
        assert_eq!(value(text, "state.reason"), Some(5));
        assert_eq!(value(text, "state"), None);
    }

    #[test]
    fn a_name_that_looks_like_a_uuid_wins_over_the_uuid() {
        let uuid = Uuid::from_u128(7);
        let named = DomainId { uuid: Uuid::from_u128(8), name: uuid.to_string() };
        let other = DomainId { uuid, name: "other".into() };
        assert_eq!(pick("list", vec![other.clone(), named.clone()], &uuid.to_string()).unwrap(), named);
        assert_eq!(pick("list", vec![other.clone()], &uuid.to_string()).unwrap(), other);
        assert_eq!(pick("list", vec![other], "8").unwrap_err().kind, CallErrorKind::NoDomain);
    }
}
