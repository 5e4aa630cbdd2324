//! Hostile chains: whatever the images name, following them ends, and only what the resolver gives is opened.
#![no_main]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::info::{ImageInfo, chain_to_json, chain_to_text};
use stillpoint_qcow2::{
    Chain, ChainOptions, DenyAll, FileId, Reference, ReferenceError, Resolver, Source, Target,
};
use stillpoint_testkit::image::ImageBuilder;

#[derive(Debug, Arbitrary)]
struct Plan {
    /// Each file: a name that it gives, or which other file it names; and whether it tells the format.
    files: Vec<(Option<Vec<u8>>, u8, Option<bool>)>,
    detect: bool,
    depth: u8,
    /// Whether files are known by ids or by names only.
    ids: bool,
}

struct Files {
    files: Vec<Vec<u8>>,
    ids: bool,
    opened: AtomicUsize,
}

impl Files {
    fn open(&self, index: usize) -> Source {
        let bytes = Arc::new(self.files[index].clone());
        let id = self.ids.then(|| FileId::Other(vec![u8::try_from(index).expect("there are few")]));
        Source::new(bytes, format!("dir/{index}"), id)
    }
}

impl Resolver for Files {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let denied = || ReferenceError::Denied { kind: reference.kind, name: reference.stored.clone() };
        let Target::File { path, .. } = &reference.target else { return Err(denied()) };
        let index = path.to_text().strip_prefix("dir/").and_then(|name| name.parse::<usize>().ok());
        Ok(self.open(index.filter(|&index| index < self.files.len()).ok_or_else(denied)?))
    }
}

fuzz_target!(|plan: Plan| {
    let count = plan.files.len().min(16);
    if count == 0 {
        return;
    }
    let build = |(name, other, format): &(Option<Vec<u8>>, u8, Option<bool>)| {
        let name = name.clone().unwrap_or_else(|| (usize::from(*other) % count).to_string().into_bytes());
        let format = format.map(|qcow2| if qcow2 { "qcow2" } else { "raw" });
        let name: Vec<u8> = name.into_iter().take(1000).collect();
        ImageBuilder::v3().cluster_bits(12).backing(&name, format).build()
    };
    let files = plan.files.iter().take(count).map(build).collect();
    let files = Files { files, ids: plan.ids, opened: AtomicUsize::new(0) };
    let options =
        ChainOptions::default().max_depth(usize::from(plan.depth)).detect_backing_format(plan.detect);
    let (chain, _) =
        Chain::open_readable(files.open(0), None, &files, &options).expect("the first image is sound");
    assert!(chain.layers().len() <= usize::from(plan.depth).max(1));
    assert!(files.opened.load(Ordering::Relaxed) <= count);
    let infos = ImageInfo::of_chain(&chain).expect("they have no bitmaps");
    assert!(!chain_to_json(&infos).is_empty() && !chain_to_text(&infos).is_empty());

    let (alone, _) =
        Chain::open_readable(files.open(0), None, &DenyAll, &options).expect("the first image is sound");
    assert_eq!(alone.layers().len(), 1);
});
