//! `stillpoint-qcow2`: images from bytes, and a chain behind a policy of our own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stillpoint_qcow2::info::{ImageInfo, InfoOptions};
use stillpoint_qcow2::{
    Chain, ChainError, ChainOptions, DenyAll, Error, FileId, Image, Reference, ReferenceError, ReferenceKind,
    Resolver, Source,
};
use stillpoint_testkit::image::{ImageBuilder, SnapshotSpec};

/// Files in memory; keeps what was asked for.
#[derive(Default)]
struct Shelf {
    files: BTreeMap<&'static str, Vec<u8>>,
    asked: Mutex<Vec<String>>,
}

impl Shelf {
    fn source(&self, name: &str) -> Option<Source> {
        let bytes = self.files.get(name)?;
        Some(Source::new(Arc::new(bytes.clone()), name, Some(FileId::Other(name.into()))))
    }
}

impl Resolver for Shelf {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let name = reference.stored.to_text();
        self.asked.lock().expect("no panic while it is held").push(name.clone());
        self.source(&name)
            .ok_or_else(|| ReferenceError::Denied { kind: reference.kind, name: reference.stored.clone() })
    }
}

#[test]
fn an_image_in_memory_tells_its_header_and_snapshots() {
    let bytes = ImageBuilder::v3().size(1 << 30).snapshot(SnapshotSpec::new("1", "before")).build();
    let image = Image::open(bytes.as_slice()).expect("an image");
    assert_eq!(image.virtual_size(), 1 << 30);
    assert_eq!(image.snapshots().len(), 1);
    assert!(image.snapshot("before").is_some() && image.snapshot("after").is_none());

    let info =
        ImageInfo::gather(bytes.as_slice(), &"disk.qcow2".into(), &InfoOptions::default()).expect("told");
    let json: serde_json::Value = serde_json::from_str(&info.to_json()).expect("JSON");
    assert_eq!(json["virtual-size"], 1 << 30);
    assert_eq!(json["snapshots"][0]["name"], "before");
    assert!(info.to_text().contains("file format: qcow2"));
}

#[test]
fn a_chain_is_followed_only_through_our_resolver() {
    let mut shelf = Shelf::default();
    shelf.files.insert("base", ImageBuilder::v3().build());
    shelf.files.insert("middle", ImageBuilder::v3().backing(b"base", Some("qcow2")).build());
    shelf.files.insert("top", ImageBuilder::v3().backing(b"middle", Some("qcow2")).build());
    let top = || shelf.source("top").expect("it is on the shelf");

    let chain = Chain::open(top(), None, &shelf, &ChainOptions::default()).expect("a chain");
    let names: Vec<String> = chain.layers().iter().map(|layer| layer.source().name.to_text()).collect();
    assert_eq!(names, ["top", "middle", "base"]);
    assert_eq!(*shelf.asked.lock().expect("no panic"), ["middle", "base"]);

    let error = Chain::open(top(), None, &DenyAll, &ChainOptions::default()).expect_err("nothing is allowed");
    assert!(
        matches!(error, Error::Reference(ReferenceError::Denied { kind: ReferenceKind::Backing, .. })),
        "{error}"
    );
}

#[test]
fn a_chain_without_end_is_an_error() {
    let mut shelf = Shelf::default();
    shelf.files.insert("a", ImageBuilder::v3().backing(b"b", Some("qcow2")).build());
    shelf.files.insert("b", ImageBuilder::v3().backing(b"a", Some("qcow2")).build());
    let top = shelf.source("a").expect("it is on the shelf");
    let error = Chain::open(top, None, &shelf, &ChainOptions::default()).expect_err("it has no end");
    assert!(matches!(error, Error::Chain(ChainError::Loop(_))), "{error}");
}
