//! The smallest hypervisor that a still point can be taken on: one guest, one disk, nothing runs.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use stillpoint_virt::{
    Backend, BlockJob, CallError, CallErrorKind, CommitSpec, DomainId, DomainState, Hypervisor, PauseReason,
    Versions, Which,
};
use uuid::Uuid;

/// A guest whose disk is a file in a directory.
#[derive(Debug)]
pub(crate) struct OneGuest {
    id: DomainId,
    base: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    overlay: Option<PathBuf>,
    committing: bool,
    frozen: bool,
    suspended: bool,
    metadata: Option<String>,
}

impl OneGuest {
    pub(crate) fn in_dir(dir: &Path) -> Self {
        let base = dir.join("disk.qcow2");
        std::fs::write(&base, b"QFI\xfb").expect("written");
        let id = DomainId { uuid: Uuid::from_u128(7), name: "guest".to_owned() };
        Self { id, base, state: Mutex::default() }
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.inner().frozen
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.inner().suspended
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }

    fn disk(&self, live: bool) -> String {
        let state = self.inner();
        let source = |path: &Path| format!("<source file='{}'/>", path.display());
        let base = source(&self.base);
        let (top, below, mirror) = match &state.overlay {
            None => (base, String::new(), String::new()),
            Some(overlay) => {
                let below = format!(
                    "<backingStore type='file'><format type='qcow2'/>{base}<backingStore/></backingStore>"
                );
                let mirror = format!(
                    "<mirror type='file' job='active-commit' ready='yes'><format type='qcow2'/>{base}</mirror>"
                );
                (source(overlay), below, if state.committing { mirror } else { String::new() })
            }
        };
        let (below, mirror) = if live { (below, mirror) } else { (String::new(), String::new()) };
        format!(
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>{top}{below}{mirror}\
             <target dev='vda' bus='virtio'/></disk>"
        )
    }

    fn fail(&self, call: &'static str, why: &str) -> CallError {
        CallError::new(call, Some(&self.id.name), CallErrorKind::Other, why)
    }
}

impl Hypervisor for OneGuest {
    fn backend(&self) -> Backend {
        Backend::Simulated
    }

    fn uri(&self) -> &str {
        "consumer:///one"
    }

    fn versions(&self) -> Result<Versions, CallError> {
        Ok(Versions::default())
    }

    fn domains(&self) -> Result<Vec<DomainId>, CallError> {
        Ok(vec![self.id.clone()])
    }

    fn find(&self, name_or_uuid: &str) -> Result<DomainId, CallError> {
        if name_or_uuid == self.id.name || name_or_uuid == self.id.uuid.to_string() {
            return Ok(self.id.clone());
        }
        Err(CallError::new("lookup", Some(name_or_uuid), CallErrorKind::NoDomain, "Domain not found"))
    }

    fn state(&self, _: &DomainId) -> Result<DomainState, CallError> {
        Ok(if self.inner().suspended { DomainState::Paused(PauseReason::User) } else { DomainState::Running })
    }

    fn is_persistent(&self, _: &DomainId) -> Result<bool, CallError> {
        Ok(true)
    }

    fn xml(&self, _: &DomainId, which: Which) -> Result<String, CallError> {
        let live = which == Which::Live;
        let id = if live { " id='1'" } else { "" };
        Ok(format!(
            "<domain type='qemu'{id}><name>{}</name><uuid>{}</uuid><devices>{}<channel type='unix'>\
             <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel></devices></domain>",
            self.id.name,
            self.id.uuid,
            self.disk(live)
        ))
    }

    fn set_agent_timeout(&self, _: &DomainId, _: Duration) -> Result<(), CallError> {
        Ok(())
    }

    fn freeze(&self, _: &DomainId) -> Result<u32, CallError> {
        self.inner().frozen = true;
        Ok(1)
    }

    fn thaw(&self, _: &DomainId) -> Result<u32, CallError> {
        let was = std::mem::take(&mut self.inner().frozen);
        Ok(u32::from(was))
    }

    fn snapshot(&self, _: &DomainId, xml: &str) -> Result<(), CallError> {
        let path = xml
            .split_once("<source file='")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map(|(path, _)| PathBuf::from(path))
            .ok_or_else(|| self.fail("snapshot-create", "no overlay is named"))?;
        std::fs::write(&path, b"QFI\xfb")
            .map_err(|error| self.fail("snapshot-create", &error.to_string()))?;
        self.inner().overlay = Some(path);
        Ok(())
    }

    fn snapshot_internal(&self, _: &DomainId, _: &str, _: Duration) -> Result<(), CallError> {
        Err(self.fail("snapshot-create", "this guest has external snapshots only"))
    }

    fn snapshots(&self, _: &DomainId) -> Result<Vec<String>, CallError> {
        Ok(Vec::new())
    }

    fn delete_snapshot(&self, _: &DomainId, _: &str) -> Result<(), CallError> {
        Err(self.fail("snapshot-delete", "there is none"))
    }

    fn commit(&self, _: &DomainId, spec: &CommitSpec) -> Result<(), CallError> {
        let mut state = self.inner();
        if spec.base != self.base || state.overlay.as_ref() != Some(&spec.top) || spec.target != "vda" {
            return Err(self.fail("blockcommit", "this is not what the disk is made of"));
        }
        state.committing = true;
        Ok(())
    }

    fn block_job(&self, _: &DomainId, _: &str) -> Result<Option<BlockJob>, CallError> {
        Ok(self.inner().committing.then_some(BlockJob { current: 1, end: 1 }))
    }

    fn pivot(&self, _: &DomainId, _: &str) -> Result<(), CallError> {
        let mut state = self.inner();
        if !state.committing {
            return Err(self.fail("blockjob", "there is no job"));
        }
        state.committing = false;
        state.overlay = None;
        Ok(())
    }

    fn cancel_job(&self, _: &DomainId, _: &str) -> Result<(), CallError> {
        self.inner().committing = false;
        Ok(())
    }

    fn suspend(&self, _: &DomainId) -> Result<(), CallError> {
        self.inner().suspended = true;
        Ok(())
    }

    fn resume(&self, _: &DomainId) -> Result<(), CallError> {
        self.inner().suspended = false;
        Ok(())
    }

    fn define(&self, _: &str) -> Result<(), CallError> {
        Err(self.fail("define", "nothing here needs it"))
    }

    fn set_metadata(&self, _: &DomainId, _: &str, xml: Option<&str>) -> Result<(), CallError> {
        self.inner().metadata = xml.map(str::to_owned);
        Ok(())
    }

    fn metadata(&self, _: &DomainId, _: &str) -> Result<Option<String>, CallError> {
        Ok(self.inner().metadata.clone())
    }

    fn has_task(&self, _: &DomainId) -> Result<bool, CallError> {
        Ok(false)
    }

    fn capacity(&self, _: &DomainId, _: &str) -> Result<u64, CallError> {
        Ok(4096)
    }

    fn has_saved_state(&self, _: &DomainId) -> Result<bool, CallError> {
        Ok(false)
    }

    fn snapshot_count(&self, _: &DomainId) -> Result<u32, CallError> {
        Ok(0)
    }

    fn checkpoint_count(&self, _: &DomainId) -> Result<u32, CallError> {
        Ok(0)
    }
}
