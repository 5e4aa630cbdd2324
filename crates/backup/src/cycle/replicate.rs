//! Replicating the point and proving it.

use std::sync::atomic::{AtomicBool, Ordering};

use stillpoint_georep as georep;

use super::{Cycle, Event, SiteName};
use crate::cancel::Stopped;
use crate::digest::{self, Digested, Digesting, Files};
use crate::error::{Error, Result};
use crate::journal::{Entry, RunStep};
use crate::report::{Outcome, Stage};
use crate::{proof, state};

impl Cycle<'_> {
    /// Replicates the points, digests both sites and compares. Tells whether the proof holds and replication can be
    /// believed.
    pub(super) fn prove(&mut self) -> bool {
        let files = Files::of(&self.report.domains);
        let Some(primary) = self.replicate(&files) else { return false };
        let secondary = self.stage(Stage::DigestSecondary, |cycle| {
            cycle.journal.write(&Entry::Run(RunStep::ProofBegan))?;
            cycle.digest(SiteName::Secondary, &files, &|| cycle.limits.check())
        });
        let Some(secondary) = secondary else { return false };
        let outcome = self.stage(Stage::Prove, |cycle| {
            let mut proof = proof::compare(&primary.manifest, &secondary.manifest);
            if !proof.holds {
                proof::locate(&mut proof, &cycle.config.primary.open()?, &cycle.config.secondary.open()?);
            }
            for (name, manifest) in
                [("primary.json", &primary.manifest), ("secondary.json", &secondary.manifest)]
            {
                state::write_json(&cycle.dir.join(name), manifest)?;
            }
            state::write_json(&cycle.dir.join("proof.json"), &proof)?;
            let holds = proof.holds;
            let step = |outcome| RunStep::Proved {
                outcome,
                holds,
                differing_shards: proof.differing_shards(),
                primary: proof.primary,
                secondary: proof.secondary,
            };
            cycle.report.proof = Some(proof.clone());
            let believed = cycle.judge(&primary.gfids);
            let outcome = if holds && believed { cycle.accepted_outcome() } else { Outcome::Failed };
            cycle.journal.write(&Entry::Run(step(outcome)))?;
            Ok(outcome)
        });
        outcome.is_some_and(|outcome| outcome != Outcome::Failed)
    }

    /// Drives replication to a checkpoint, and digests the primary's bases meanwhile: they are still.
    fn replicate(&mut self, files: &Files) -> Option<Digested> {
        let give_up = AtomicBool::new(false);
        let limits = self.limits;
        let result = self.stage(Stage::Replicate, |cycle| {
            let cycle_ref = &*cycle;
            let (verdict, digested, took) = std::thread::scope(|scope| {
                let going_on = || match give_up.load(Ordering::SeqCst) {
                    true => Err(Stopped::Cancelled),
                    false => limits.check(),
                };
                let digest = scope.spawn(move || {
                    let began = std::time::Instant::now();
                    (cycle_ref.digest(SiteName::Primary, files, &going_on), began.elapsed())
                });
                let verdict = cycle_ref.sync();
                if verdict.is_err() {
                    give_up.store(true, Ordering::SeqCst);
                }
                let (digested, took) = digest.join().unwrap_or_else(|_| {
                    (Err(Error::Internal("digesting the primary panicked".to_owned())), Default::default())
                });
                (verdict, digested, took)
            });
            cycle.report.durations.push(crate::StageDuration { stage: Stage::DigestPrimary, took });
            match verdict {
                Ok(verdict) => {
                    cycle.report.replication_left_running = Some(false);
                    cycle.report.verdict = Some(verdict);
                }
                Err(error) => {
                    cycle.report.replication_left_running = (!error.may_be_running()).then_some(false);
                    if let georep::Error::StillRunning { verdict: Some(verdict), .. } = &error {
                        cycle.report.verdict = Some((**verdict).clone());
                    }
                    return Err(error.into());
                }
            }
            Ok(digested)
        })?;
        match result {
            Ok(digested) => Some(digested),
            Err(error) => {
                self.fail(Stage::DigestPrimary, None, error.to_string());
                None
            }
        }
    }

    fn sync(&self) -> Result<georep::Verdict, georep::Error> {
        let mut options = self.config.sync.clone();
        options.mount.clone_from(&self.config.mount);
        options.deadline = self.limits.left();
        georep::sync(
            self.parts.session,
            &options,
            self.journal as &dyn georep::Journal,
            &mut |progress| (self.observer)(Event::Replication(&progress)),
            self.limits.cancel().flag(),
        )
    }
    fn digest(
        &self,
        name: SiteName,
        files: &Files,
        going_on: &(dyn Fn() -> Result<(), Stopped> + Sync),
    ) -> Result<Digested> {
        let site = match name {
            SiteName::Primary => &self.config.primary,
            SiteName::Secondary => &self.config.secondary,
        };
        let how = Digesting { threads: self.config.threads, observer: self.observer, going_on };
        digest::digest(name, site, files, &how)
    }
}
