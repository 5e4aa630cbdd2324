//! One action at a time.

use std::thread;
use std::time::{Duration, Instant};

use super::{Action, Problem, RecoverOptions, obstacle};
use crate::commit::{Committer, resume};
use crate::pen::Pen;
use crate::{
    CommitProgress, Comparison, DiskCondition, Error, IntendedDisk, Observation, StepKind, files, observe,
};

/// How long one answer of the guest agent may take when thawing what an earlier run may have frozen.
const AGENT: Duration = Duration::from_secs(10);

pub(super) struct Recovering<'a> {
    pub(super) committer: Committer<'a>,
    pub(super) options: &'a RecoverOptions<'a>,
    pub(super) pen: Pen<'a>,
    /// Targets about which nothing more can be done in this run.
    pub(super) settled: Vec<String>,
    pub(super) problems: Vec<Problem>,
    /// The first failure about one disk: the others go on.
    pub(super) failed: Option<Error>,
}

impl Recovering<'_> {
    /// Acts until nothing is left that can be done, and tells what was done.
    pub(super) fn run(
        &mut self,
        mut observation: Observation,
        progress: &mut dyn FnMut(CommitProgress),
    ) -> Result<Vec<Action>, Error> {
        let mut actions = Vec::new();
        loop {
            self.note_what_is_settled_already(&observation)?;
            self.note_what_needs_an_operator(&observation);
            let next = Action::about(&observation, &self.settled).next();
            let Some(action) = next else { return Ok(actions) };
            tracing::info!(domain = %self.pen.intent.domain, ?action, "recovery");
            match (self.act(&action, progress), action.target()) {
                (Ok(()), _) => {}
                (Err(error @ Error::Journal(_)), _) | (Err(error), None) => return Err(error),
                (Err(error), Some(target)) => {
                    self.settled.push(target.to_owned());
                    self.failed.get_or_insert(error);
                }
            }
            actions.push(action);
            observation = observe(self.committer.hypervisor, &self.pen.intent)?;
        }
    }

    fn act(&mut self, action: &Action, progress: &mut dyn FnMut(CommitProgress)) -> Result<(), Error> {
        match action {
            Action::Thaw => self.thaw(),
            Action::Resume => {
                resume(self.committer.hypervisor, self.committer.domain)?;
                Ok(self.pen.record(StepKind::Resumed)?)
            }
            Action::Commit { target } => {
                let disk = self.disk(target)?;
                self.committer.bring_home(&disk, &mut self.pen, progress).map(drop)
            }
            Action::CommitOffline { target } => self.commit_offline(target),
            Action::Wait { target } => self.wait(target),
            Action::Redefine { target } => {
                let disk = self.disk(target)?;
                self.committer.redefine(&disk)?;
                self.expect(target, &DiskCondition::DefinitionBehind)
            }
            // Of internal snapshots, which aren't recovered here.
            Action::DeleteSnapshot => Ok(()),
            Action::Compare { target } => self.compare(target),
            Action::RemoveOverlay { target } => {
                let disk = self.disk(target)?;
                self.committer.remove_overlay(&disk, &mut self.pen)
            }
            Action::KeepOverlay { target } => self.keep(target),
        }
    }

    fn thaw(&mut self) -> Result<(), Error> {
        let (hypervisor, domain) = (self.committer.hypervisor, self.committer.domain);
        let thawed = hypervisor.set_agent_timeout(domain, AGENT).and_then(|()| hypervisor.thaw(domain));
        match thawed {
            Ok(count) => self.pen.record(StepKind::Thawed { file_systems: Some(count) })?,
            Err(error) => {
                if self.pen.intent.frozen {
                    self.problems.push(Problem {
                        target: None,
                        what: format!("its guest was frozen and can't be thawed: {error}"),
                        remedy:
                            "thaw it with 'virsh domfsthaw', or restart its guest agent, or reset the domain"
                                .into(),
                    });
                    // What is known stays known: only this run stops trying.
                    self.pen.intent.maybe_frozen = false;
                    return Ok(());
                }
                // A freeze was intended and never answered; an agent that froze still answers.
                tracing::warn!(%domain, %error, "no guest agent to thaw with; the guest is not known to be frozen");
                self.pen.record(StepKind::Thawed { file_systems: None })?;
            }
        }
        Ok(())
    }

    /// Waits for a job that is ending by itself.
    fn wait(&self, target: &str) -> Result<(), Error> {
        let after = self.options.undo.pivot_deadline;
        let until = Instant::now() + after;
        while Instant::now() < until {
            if self.condition(target)? != Some(DiskCondition::Completing) {
                return Ok(());
            }
            thread::sleep(self.options.undo.poll.min(Duration::from_millis(200)));
        }
        let domain = self.committer.domain.name.clone();
        Err(Error::Deadline { domain, target: target.into(), what: "its job did not end", after })
    }

    fn compare(&mut self, target: &str) -> Result<(), Error> {
        let disk = self.disk(target)?;
        let what = match self.options.comparison {
            None => "a pivot was asked for and never seen, then the domain ended: which of overlay and base is newer isn't \
                     known, and nothing was given to compare them"
                .to_owned(),
            Some(comparison) => match comparison.compare(&disk.overlay, &disk.base) {
                Ok(Comparison::Equal) => {
                    self.committer.redefine(&disk)?;
                    self.expect(target, &DiskCondition::AmbiguousPivot)?;
                    return Ok(self.pen.record(StepKind::PivotVerified { target: target.to_owned() })?);
                }
                // With the CPUs stopped, what only the overlay has is what the commit had not copied yet. A base that
                // was written to later may be one on which the guest was let go on by its guard.
                Ok(Comparison::Differs { .. })
                    if self.options.offline.is_some()
                        && self.pen.intent.stood_still(target)
                        && files::is_newer(&disk.overlay, &disk.base)? =>
                {
                    return self.commit_offline(target);
                }
                Ok(Comparison::Differs { first }) => {
                    format!("a pivot was asked for and never seen, and overlay and base differ at guest offset {first}")
                }
                Err(error) => format!("overlay and base can't be compared: {error}"),
            },
        };
        self.give_up(target, what, obstacle::keep_both(&disk));
        Ok(())
    }

    fn keep(&mut self, target: &str) -> Result<(), Error> {
        let disk = self.disk(target)?;
        let quarantine = files::quarantine(&disk);
        if files::exists(&disk.overlay)? {
            files::rename(&disk.overlay, &quarantine)?;
        }
        self.pen
            .record(StepKind::OverlayKept { target: target.to_owned(), quarantine: quarantine.clone() })?;
        self.give_up(
            target,
            format!(
                "it is on its base, but its overlay, kept as {}, was not committed by us and may hold newer data",
                quarantine.display()
            ),
            "if the domain was moved to its base by hand after a commit, delete the file; else its data is only there"
                .into(),
        );
        Ok(())
    }

    /// What the journal leaves open and the domain shows to be over, such as a guest that its guard let run again.
    fn note_what_is_settled_already(&mut self, observation: &Observation) -> Result<(), Error> {
        if self.pen.intent.maybe_frozen && !observation.maybe_frozen {
            self.pen.record(StepKind::Thawed { file_systems: None })?;
        }
        // That the CPUs were stopped decides about a pivot whose end was never seen: it is kept until that is settled.
        let decides = !observation.state.is_active()
            && observation.disks.iter().any(|disk| {
                disk.condition == DiskCondition::AmbiguousPivot && self.pen.intent.stood_still(&disk.target)
            });
        if self.pen.intent.maybe_suspended && !observation.suspended && !decides {
            self.pen.record(StepKind::Resumed)?;
        }
        Ok(())
    }

    fn note_what_needs_an_operator(&mut self, observation: &Observation) {
        for problem in obstacle::all(observation, &self.pen.intent, self.options) {
            if let Some(target) = &problem.target
                && !self.settled.contains(target)
            {
                self.settled.push(target.clone());
                self.problems.push(problem);
            }
        }
    }

    fn give_up(&mut self, target: &str, what: String, remedy: String) {
        self.settled.push(target.to_owned());
        self.problems.push(Problem { target: Some(target.to_owned()), what, remedy });
    }

    /// An action must change what was seen, or it is not tried again.
    pub(super) fn expect(&self, target: &str, before: &DiskCondition) -> Result<(), Error> {
        if self.condition(target)?.as_ref() != Some(before) {
            return Ok(());
        }
        let what = "its definition was set to the base, and still names the overlay".into();
        Err(Error::Foreign { domain: self.committer.domain.name.clone(), target: target.into(), what })
    }

    pub(super) fn condition(&self, target: &str) -> Result<Option<DiskCondition>, Error> {
        let observation = observe(self.committer.hypervisor, &self.pen.intent)?;
        Ok(observation.disks.into_iter().find(|disk| disk.target == target).map(|disk| disk.condition))
    }

    pub(super) fn disk(&self, target: &str) -> Result<IntendedDisk, Error> {
        let found = self.pen.intent.disk(target).map(|disk| disk.disk.clone());
        found.ok_or_else(|| Error::Foreign {
            domain: self.committer.domain.name.clone(),
            target: target.into(),
            what: "the journal doesn't name it".into(),
        })
    }
}
