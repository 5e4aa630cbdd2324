//! Guards without processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stillpoint_virt::{DomainId, Guard, GuardError, GuardSpawner, Release, Tag};

use super::SimHost;

/// Starts simulated guards: they act on the host itself when they are dropped without being told to end, as a guard
/// process does when its parent dies.
#[derive(Debug, Clone)]
pub struct SimGuards {
    host: SimHost,
    acts: bool,
    refuses: bool,
    standing: Arc<Mutex<Vec<Arc<Standing>>>>,
}

#[derive(Debug)]
struct Standing {
    domain: DomainId,
    release: Release,
    /// It ended, by order or by acting.
    ended: AtomicBool,
    acted: AtomicBool,
}

impl SimGuards {
    /// Guards over the domains of this host.
    #[must_use]
    pub fn new(host: &SimHost) -> Self {
        Self { host: host.clone(), acts: true, refuses: false, standing: Arc::default() }
    }

    /// Guards that die with their parent, so that only recovery is left to help.
    #[must_use]
    pub fn dying(mut self) -> Self {
        self.acts = false;
        self
    }

    /// Guards that can't be started.
    #[must_use]
    pub fn refusing(mut self) -> Self {
        self.refuses = true;
        self
    }

    /// Lets the deadline of every guard that stands pass now.
    pub fn expire(&self) {
        for guard in self.standing.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.act(guard);
        }
    }

    /// How many guards stand.
    #[must_use]
    pub fn count(&self) -> usize {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.iter().filter(|guard| !guard.ended.load(Ordering::SeqCst)).count()
    }

    fn act(&self, guard: &Standing) {
        if !guard.ended.swap(true, Ordering::SeqCst) && self.acts {
            guard.acted.store(true, Ordering::SeqCst);
            self.host.release(&guard.domain, guard.release);
        }
    }
}

impl GuardSpawner for SimGuards {
    fn arm(
        &self,
        domain: &DomainId,
        _: &Tag,
        release: Release,
        _: Duration,
    ) -> Result<Box<dyn Guard>, GuardError> {
        if self.refuses {
            let why = "the simulation refuses it".into();
            return Err(GuardError { domain: domain.name.clone(), release, why });
        }
        let guard = Arc::new(Standing {
            domain: domain.clone(),
            release,
            ended: AtomicBool::new(false),
            acted: AtomicBool::new(false),
        });
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).push(guard.clone());
        Ok(Box::new(SimGuard { guards: self.clone(), guard }))
    }
}

#[derive(Debug)]
struct SimGuard {
    guards: SimGuards,
    guard: Arc<Standing>,
}

impl Guard for SimGuard {
    fn disarm(self: Box<Self>) -> bool {
        self.guard.ended.store(true, Ordering::SeqCst);
        !self.guard.acted.load(Ordering::SeqCst)
    }
}

impl Drop for SimGuard {
    fn drop(&mut self) {
        self.guards.act(&self.guard);
    }
}
