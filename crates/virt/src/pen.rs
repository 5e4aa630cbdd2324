//! Writing steps down, and knowing what they add up to.

use crate::{Intent, Journal, JournalError, Step, StepKind};

/// A journal, and the intent that its steps so far make.
pub(crate) struct Pen<'a> {
    journal: &'a dyn Journal,
    pub(crate) intent: Intent,
}

impl<'a> Pen<'a> {
    pub(crate) fn new(journal: &'a dyn Journal, intent: Intent) -> Self {
        Self { journal, intent }
    }

    /// Writes one step down. What it says is taken in only when it is safe.
    pub(crate) fn record(&mut self, kind: StepKind) -> Result<(), JournalError> {
        let step = Step { domain: self.intent.domain.clone(), tag: self.intent.tag.clone(), kind };
        tracing::debug!(domain = %step.domain.name, tag = %step.tag, step = step.name(), "step");
        self.journal.record(&step)?;
        self.intent.apply(&step.kind);
        Ok(())
    }
}
