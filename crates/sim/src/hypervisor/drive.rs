//! Disks of domains, their layers and the jobs on them.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::domain::SimDisk;

/// A disk of a domain.
#[derive(Debug)]
pub(super) struct Drive {
    pub(super) target: String,
    pub(super) device: String,
    pub(super) flags: Vec<String>,
    /// What the running guest uses, active first.
    pub(super) layers: Vec<Layer>,
    /// What the next start uses.
    pub(super) defined: Layer,
    /// Every overlay that was ever made over a layer, so that a start from a definition finds its chain.
    known: Vec<(PathBuf, Vec<Layer>)>,
    pub(super) job: Option<Job>,
}

#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) path: PathBuf,
    pub(super) format: String,
    /// Whether it is an overlay that a snapshot made.
    pub(super) overlay: bool,
    /// What the guest wrote into this overlay.
    pub(super) writes: Vec<(u64, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// So many more polls.
    Copying(u32),
    Ready,
    /// So many more polls.
    Pivoting(u32),
}

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) base: usize,
    pub(super) phase: Phase,
    pub(super) end: u64,
}

impl Drive {
    pub(super) fn new(disk: SimDisk) -> Self {
        let layer = |path: PathBuf, format: &str| Layer {
            path,
            format: format.to_owned(),
            overlay: false,
            writes: Vec::new(),
        };
        let top = layer(disk.path, &disk.format);
        let mut layers = vec![top.clone()];
        layers.extend(disk.below.into_iter().map(|path| layer(path, "qcow2")));
        let known = vec![(top.path.clone(), layers.clone())];
        Self {
            target: disk.target,
            device: disk.device,
            flags: disk.flags,
            layers,
            defined: top,
            known,
            job: None,
        }
    }

    /// Whether it is a qcow2 image, or nothing that a guest writes to.
    pub(super) fn holds_internal_snapshots(&self) -> bool {
        self.device != "disk"
            || self.flags.iter().any(|flag| flag == "readonly")
            || self.layers.first().is_some_and(|active| active.format == "qcow2")
    }

    /// Keeps the chain below the active layer, as the images' own headers would.
    pub(super) fn remember(&mut self) {
        for (at, layer) in self.layers.iter().enumerate() {
            let chain = self.layers.get(at..).unwrap_or_default().to_vec();
            match self.known.iter_mut().find(|(path, _)| *path == layer.path) {
                Some(known) => known.1 = chain,
                None => self.known.push((layer.path.clone(), chain)),
            }
        }
    }

    /// What a start uses.
    pub(super) fn defined_chain(&self) -> Vec<Layer> {
        let found = self.known.iter().find(|(path, _)| *path == self.defined.path);
        found.map_or_else(|| vec![self.defined.clone()], |(_, chain)| chain.clone())
    }

    pub(super) fn push(&mut self, overlay: PathBuf, define: bool) {
        let layer = Layer { path: overlay, format: "qcow2".into(), overlay: true, writes: Vec::new() };
        if define && self.layers.first().is_some_and(|active| active.path == self.defined.path) {
            self.defined = layer.clone();
        }
        self.layers.insert(0, layer);
        self.remember();
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mirrored = self.job.as_ref().filter(|job| job.phase == Phase::Ready).map(|job| job.base);
        let overlaid = self.layers.first().is_some_and(|top| top.overlay);
        if !overlaid {
            self.put(0, offset, bytes);
            return;
        }
        if let Some(top) = self.layers.first_mut() {
            top.writes.push((offset, bytes.to_vec()));
        }
        if let Some(base) = mirrored {
            self.put(base, offset, bytes);
        }
    }

    fn put(&self, layer: usize, offset: u64, bytes: &[u8]) {
        put(&self.layers.get(layer).expect("a disk has its layers").path, offset, bytes);
    }

    /// Takes another file as what the next start uses.
    pub(super) fn define(&mut self, known: Option<Layer>, path: &Path, format: &str) {
        self.remember();
        self.defined = known.unwrap_or_else(|| Layer {
            path: path.to_owned(),
            format: format.to_owned(),
            overlay: false,
            writes: Vec::new(),
        });
    }

    /// One look at the job: it goes on by one step. `true` when the disk was pivoted just now.
    pub(super) fn advance(&mut self, never_ready: bool, fails: bool) -> bool {
        let Some(job) = self.job.clone() else { return false };
        let next = match job.phase {
            Phase::Copying(0) if fails => {
                self.job = None;
                return false;
            }
            Phase::Copying(0) if never_ready => Phase::Copying(0),
            Phase::Copying(0) => {
                self.copy_down(job.base);
                Phase::Ready
            }
            Phase::Copying(left) => Phase::Copying(left - 1),
            Phase::Ready => Phase::Ready,
            Phase::Pivoting(0) => return true,
            Phase::Pivoting(left) => Phase::Pivoting(left - 1),
        };
        self.job = Some(Job { phase: next, ..job });
        false
    }

    /// Commits one file into the one below it, where this drive has them. The domain must be off.
    pub(super) fn commit_files(
        &mut self,
        off: bool,
        overlay: &Path,
        base: &Path,
    ) -> Option<Result<(), String>> {
        let chain = self.known.iter().find(|(path, _)| path == overlay)?.1.clone();
        if !off {
            return Some(Err("failed to get \"write\" lock: is another process using the image?".into()));
        }
        if chain.get(1).is_none_or(|below| below.path != base) {
            return Some(Err(format!("did not find '{}' in the backing chain", base.display())));
        }
        let top = chain.first()?.clone();
        for (offset, bytes) in &top.writes {
            put(base, *offset, bytes);
        }
        Some(Ok(()))
    }

    fn copy_down(&mut self, base: usize) {
        for at in (0..base).rev() {
            for (offset, bytes) in self.layers.get(at).map(|layer| layer.writes.clone()).unwrap_or_default() {
                self.put(base, offset, &bytes);
            }
        }
    }

    /// The base becomes the active layer.
    pub(super) fn pivot(&mut self, define: bool) {
        if let Some(job) = self.job.take() {
            self.remember();
            let top = self.layers.first().map(|layer| layer.path.clone());
            self.layers.drain(..job.base.min(self.layers.len() - 1));
            if define
                && top.is_some_and(|top| self.defined.path == top)
                && let Some(base) = self.layers.first()
            {
                self.defined = base.clone();
            }
        }
    }
}

fn put(path: &Path, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("the test made the disk's file");
    file.write_all_at(bytes, offset).expect("the disk's file can be written");
}
