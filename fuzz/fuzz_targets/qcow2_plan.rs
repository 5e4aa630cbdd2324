//! Chains of sound images by choice, with data, snapshots and bitmaps: as they are, all that is read is what the model
//! says; then damaged, nothing panics, and what can be read can be mapped and compared.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::compare::{CompareOptions, differences};
use stillpoint_qcow2::tables::Snapshot;
use stillpoint_qcow2::{
    Chain, ChainOptions, DiskOptions, FileId, Format, GuestView, Name, Reference, ReferenceError, Resolver,
    Source, Target,
};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::plan::{MadeFile, Plan};

#[derive(Debug, Arbitrary)]
struct Input {
    plan: Vec<u8>,
    /// Put over the files: which, where (folded into its length), and what.
    patches: Vec<(u8, u32, u64)>,
    cut: Option<(u8, u32)>,
}

struct Files(Vec<MadeFile>);

impl Files {
    fn find(&self, name: &Name) -> Option<Source> {
        let file = self.0.iter().find(|file| file.name.as_bytes() == name.as_bytes())?;
        let id = FileId::Other(file.name.clone().into_bytes());
        Some(Source::new(Arc::new(file.bytes.clone()), name.clone(), Some(id)))
    }
}

impl Resolver for Files {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let denied = || ReferenceError::Denied { kind: reference.kind, name: reference.stored.clone() };
        let Target::File { path, .. } = &reference.target else { return Err(denied()) };
        self.find(path).ok_or_else(denied)
    }
}

/// A damaged header may tell of a large disk: its beginning is enough.
const READ: u64 = 4 << 20;

fn read(view: &GuestView) -> Option<Vec<u8>> {
    let len = view.size().min(READ);
    let mut bytes = vec![0xee; usize::try_from(len).expect("it is short")];
    view.disk().read_exact_at(0, &mut bytes).ok().map(|()| bytes)
}

fn look(chain: &Chain, snapshot: Option<&Snapshot>, files: &Files, expected: Option<&[u8]>) {
    let Ok(view) = GuestView::open(chain, snapshot, files, &DiskOptions::default()) else {
        assert!(expected.is_none(), "a sound image is not opened");
        return;
    };
    let bytes = read(&view);
    let mut at = 0;
    for extent in view.map().extents().take(10_000) {
        let Ok(extent) = extent else { break };
        assert_eq!(extent.start, at);
        at = extent.end();
        assert!(at <= view.size());
        let range = extent.start.min(READ) as usize..at.min(READ) as usize;
        if let Some(bytes) = bytes.as_ref().filter(|_| extent.zero) {
            assert!(bytes[range].iter().all(|&byte| byte == 0), "data where there are zeros: {extent:?}");
        }
    }
    let options = CompareOptions::default().threads(1);
    if view.size() < 64 << 20 {
        let again =
            GuestView::open(chain, snapshot, files, &DiskOptions::default()).expect("it was just now");
        let same = differences(&view, &again, &options).take(10).all(|difference| difference.is_err());
        assert!(same, "a disk differs from itself");
    }
    if let Some(expected) = expected {
        let beginning = &expected[..expected.len().min(READ as usize)];
        assert_eq!(view.size(), expected.len() as u64);
        assert!(bytes.as_deref() == Some(beginning), "the model has other bytes");
    }
}

fuzz_target!(|input: Input| {
    let made = Plan::of(&input.plan).make();
    let mut files = made.files.clone();
    for (file, at, value) in input.patches.iter().take(8) {
        let count = files.len();
        let bytes = &mut files[usize::from(*file) % count].bytes;
        let at = *at as usize % bytes.len().saturating_sub(8).max(1);
        let end = (at + 8).min(bytes.len());
        bytes[at..end].copy_from_slice(&value.to_be_bytes()[..end - at]);
    }
    if let Some((file, len)) = input.cut {
        let count = files.len();
        files[usize::from(file) % count].bytes.truncate(len as usize);
    }
    let sound = input.patches.is_empty() && input.cut.is_none();
    let files = Files(files);
    let top = files.find(&"0".into()).expect("it is the first");
    let chain = match Chain::open(top, Some(Format::Qcow2), &files, &ChainOptions::default()) {
        Ok(chain) => chain,
        Err(error) => {
            assert!(!sound, "a sound chain is refused: {error}");
            return;
        }
    };
    look(&chain, None, &files, sound.then_some(&*made.disk));
    let snapshots = chain.layers()[0].image().map(|image| image.snapshots()).unwrap_or_default();
    for (number, snapshot) in snapshots.iter().enumerate().take(4) {
        let expected = made.snapshots.get(number).filter(|_| sound).map(|made| &*made.disk);
        look(&chain, Some(snapshot), &files, expected);
    }
});
