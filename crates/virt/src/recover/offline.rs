//! The overlay of a domain that is off.

use super::act::Recovering;
use crate::{DiskCondition, Error, StepKind, files, observe};

impl Recovering<'_> {
    /// Commits the overlay into the base, brings that to stable storage, and defines the domain with the base.
    ///
    /// Whoever starts the domain before it is defined so starts it on the overlay, which is whole: then nothing is
    /// defined, and what runs is committed as any other.
    pub(super) fn commit_offline(&mut self, target: &str) -> Result<(), Error> {
        let Some(offline) = self.options.offline else { return Ok(()) };
        let disk = self.disk(target)?;
        self.pen.record(StepKind::CommitIntended { target: target.to_owned() })?;
        offline.commit(&disk.overlay, &disk.base).map_err(|source| Error::Offline {
            domain: self.committer.domain.name.clone(),
            target: target.to_owned(),
            source,
        })?;
        files::sync(&disk.base)?;
        let seen = observe(self.committer.hypervisor, &self.pen.intent)?;
        let found = seen.disks.into_iter().find(|disk| disk.target == target).map(|disk| disk.condition);
        let Some(before @ (DiskCondition::OfflineOverlay | DiskCondition::AmbiguousPivot)) = found else {
            return Ok(());
        };
        if seen.saved || seen.state.is_active() {
            return Ok(());
        }
        self.pen.record(StepKind::OfflineCommitted { target: target.to_owned() })?;
        self.committer.redefine(&disk)?;
        self.expect(target, &before)?;
        if let Some(DiskCondition::StaleOverlay { .. }) = self.condition(target)? {
            self.pen.record(StepKind::PivotVerified { target: target.to_owned() })?;
        }
        Ok(())
    }
}
