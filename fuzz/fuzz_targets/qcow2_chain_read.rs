//! Disks read through hostile chains: files that name each other in any way, with any sizes. Reading ends, nothing is
//! opened but what the policy allows, and the bytes are those of the layers that were opened.
#![no_main]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::compare::{CompareOptions, differences};
use stillpoint_qcow2::{
    Chain, ChainOptions, DenyAll, DiskOptions, FileId, GuestView, Reference, ReferenceError, ReferenceKind,
    Resolver, Source, Target,
};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};

#[derive(Debug, Arbitrary)]
struct File {
    raw: bool,
    sectors: u16,
    /// Which other file it names, or a name of its own, and in which format.
    other: u8,
    name: Option<Vec<u8>>,
    says_raw: bool,
    data_file: Option<u8>,
    clusters: Vec<(u8, u8)>,
}

#[derive(Debug, Arbitrary)]
struct Input {
    files: Vec<File>,
    depth: u8,
    allowed: u16,
}

struct Files {
    bytes: Vec<Vec<u8>>,
    allowed: u16,
    opened: AtomicUsize,
}

impl Files {
    fn source(&self, index: usize) -> Source {
        let id = FileId::Other(vec![u8::try_from(index).expect("there are few")]);
        Source::new(Arc::new(self.bytes[index].clone()), format!("dir/{index}"), Some(id))
    }
}

impl Resolver for Files {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let denied = || ReferenceError::Denied { kind: reference.kind, name: reference.stored.clone() };
        let Target::File { path, .. } = &reference.target else { return Err(denied()) };
        let index = path.to_text().strip_prefix("dir/").and_then(|name| name.parse::<usize>().ok());
        let index = index.filter(|&index| index < self.bytes.len() && self.allowed >> index & 1 == 1);
        let index = index.ok_or_else(denied)?;
        if reference.kind == ReferenceKind::Backing {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.source(index))
    }
}

impl File {
    fn build(&self, count: usize) -> Vec<u8> {
        let size = u64::from(self.sectors % 256) * 512;
        if self.raw {
            return (0..size + u64::from(self.other)).map(|i| (i / 512) as u8 | 1).collect();
        }
        let mut image = ImageBuilder::v3().cluster_bits(9).size(size);
        if let Some(data) = self.data_file {
            image = image.data_file((usize::from(data) % count).to_string().as_bytes(), false);
        }
        let mut taken = [false; 256];
        for (index, fill) in self.clusters.iter().take(32) {
            if u64::from(*index) * 512 < size && !std::mem::replace(&mut taken[usize::from(*index)], true) {
                let spec = if *fill == 0 { ClusterSpec::Zero } else { ClusterSpec::Data(vec![*fill; 512]) };
                image = image.cluster(u64::from(*index), spec);
            }
        }
        let name =
            self.name.clone().unwrap_or_else(|| (usize::from(self.other) % count).to_string().into_bytes());
        let name: Vec<u8> = name.into_iter().take(200).collect();
        image.backing(&name, Some(if self.says_raw { "raw" } else { "qcow2" })).build()
    }
}

fuzz_target!(|input: Input| {
    let count = input.files.len().min(16);
    if count == 0 {
        return;
    }
    let bytes = input.files.iter().take(count).map(|file| file.build(count)).collect();
    let files = Files { bytes, allowed: input.allowed, opened: AtomicUsize::new(0) };
    let options = ChainOptions::default().max_depth(usize::from(input.depth)).detect_backing_format(true);
    let Ok((chain, _)) = Chain::open_readable(files.source(0), None, &files, &options) else { return };
    assert!(chain.layers().len() <= usize::from(input.depth).max(1));
    assert!(files.opened.load(Ordering::Relaxed) <= count, "a chain goes round");
    // What isn't given for the chain isn't given for the disk: data files are asked for again.
    let _ = GuestView::open(&chain, None, &DenyAll, &DiskOptions::default());
    let Ok(view) = GuestView::open(&chain, None, &files, &DiskOptions::default()) else { return };
    let mut bytes = vec![0xee; usize::try_from(view.size()).expect("it is short")];
    if view.disk().read_exact_at(0, &mut bytes).is_err() {
        return;
    }
    for extent in view.map().extents() {
        let extent = extent.expect("all was read");
        let part = &bytes[extent.start as usize..extent.end() as usize];
        assert!(!extent.zero || part.iter().all(|&byte| byte == 0), "{extent:?}");
    }
    let again = GuestView::open(&chain, None, &files, &DiskOptions::default()).expect("it was just now");
    let options = CompareOptions::default().threads(1);
    assert!(differences(&view, &again, &options).next().is_none(), "a disk differs from itself");
});
