//! Chains: what is followed, how far, and through whom.

use std::collections::HashMap;
use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;

use stillpoint_qcow2::info::ImageInfo;
use stillpoint_qcow2::{
    Below, Chain, ChainError, ChainOptions, DenyAll, Error, FileId, Format, Name, Reference, ReferenceError,
    Resolver, Source, Target,
};
use stillpoint_testkit::image::ImageBuilder;

fn overlay(backing: &str, format: Option<&str>) -> Vec<u8> {
    ImageBuilder::v3().backing(backing.as_bytes(), format).build()
}

fn write(directory: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        std::fs::write(directory.join(name), bytes).expect("it can be written");
    }
}

fn open(directory: &Path, name: &str, options: &ChainOptions) -> Result<Chain, Error> {
    let below = Below::new(directory).expect("it is there");
    Chain::open(Source::open(directory.join(name)).expect("it can be opened"), None, &below, options)
}

#[test]
fn a_chain_of_qcow2_and_raw_is_followed_to_its_end() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path();
    let files = [("c", overlay("b", Some("qcow2"))), ("b", overlay("a", Some("raw"))), ("a", vec![0; 1000])];
    write(path, &files);
    let chain = open(path, "c", &ChainOptions::default()).expect("it has an end");
    let formats: Vec<_> = chain.layers().iter().map(|layer| layer.format()).collect();
    assert_eq!(formats, [Format::Qcow2, Format::Qcow2, Format::Raw]);
    let sizes: Vec<_> = chain.layers().iter().map(|layer| layer.virtual_size()).collect();
    assert_eq!(sizes, [1 << 20, 1 << 20, 1024]);
    let infos = ImageInfo::of_chain(&chain).expect("each tells its facts");
    assert_eq!(infos[0].full_backing_filename.as_deref(), Some(infos[1].filename.as_str()));
}

#[test]
fn a_loop_is_found_by_what_the_files_are_and_not_by_their_names() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path();
    write(path, &[("a", overlay("b", Some("qcow2"))), ("b", overlay("c", Some("qcow2")))]);
    std::os::unix::fs::symlink("a", path.join("c")).expect("it can be made");
    write(path, &[("self", overlay("./self", Some("qcow2")))]);
    for name in ["a", "b", "c", "self"] {
        let found = open(path, name, &ChainOptions::default());
        assert!(matches!(found, Err(Error::Chain(ChainError::Loop(_)))), "{name}: {found:?}");
    }
}

#[test]
fn a_chain_is_followed_to_the_depth_allowed_and_no_deeper() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path();
    for i in 0..257 {
        let bytes = if i == 0 {
            vec![0; 512]
        } else {
            overlay(&(i - 1).to_string(), Some(if i == 1 { "raw" } else { "qcow2" }))
        };
        write(path, &[(&i.to_string(), bytes)]);
    }
    let default = ChainOptions::default();
    assert_eq!(open(path, "255", &default).expect("256 layers are allowed").layers().len(), 256);
    assert!(matches!(open(path, "256", &default), Err(Error::Chain(ChainError::TooDeep(256)))));
    assert!(open(path, "2", &ChainOptions::default().max_depth(3)).is_ok());
    let found = open(path, "3", &ChainOptions::default().max_depth(3));
    assert!(matches!(found, Err(Error::Chain(ChainError::TooDeep(3)))));
}

#[test]
fn a_format_that_is_not_told_is_guessed_only_when_asked_for() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path();
    // The guest wrote an image's header into its raw disk, which names a file that it shouldn't see.
    write(
        path,
        &[("top", overlay("disk", None)), ("disk", overlay("secret", Some("raw"))), ("secret", vec![7; 512])],
    );
    let found = open(path, "top", &ChainOptions::default());
    assert!(matches!(found, Err(Error::Chain(ChainError::NoFormat(_)))));
    let guessed = ChainOptions::default().detect_backing_format(true);
    assert_eq!(open(path, "top", &guessed).expect("it has an end").layers().len(), 3);
    write(path, &[("top", overlay("disk", Some("raw")))]);
    assert_eq!(open(path, "top", &guessed).expect("it has an end").layers().len(), 2);
}

#[test]
fn above_a_break_the_chain_can_be_had() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path();
    write(path, &[("c", overlay("b", Some("qcow2"))), ("b", overlay("missing", Some("qcow2")))]);
    let below = Below::new(path).expect("it is there");
    let top = || Source::open(path.join("c")).expect("it can be opened");
    let (chain, error) =
        Chain::open_readable(top(), None, &below, &ChainOptions::default()).expect("the first is fine");
    assert_eq!(chain.layers().len(), 2);
    let Some(Error::Chain(ChainError::Layer { depth, source, .. })) = error else { panic!("{error:?}") };
    assert!(matches!(*source, Error::Reference(ReferenceError::Open { .. })));
    assert_eq!(depth, 2);
    assert!(Chain::open(top(), None, &below, &ChainOptions::default()).is_err());
}

#[test]
fn a_damaged_layer_is_named_with_its_depth_and_cause() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path();
    write(path, &[("b", overlay("a", Some("qcow2"))), ("a", vec![0; 512])]);
    let error = open(path, "b", &ChainOptions::default()).expect_err("a is no image");
    assert!(matches!(&error, Error::Chain(ChainError::Layer { depth: 1, .. })));
    assert!(error.source().is_some_and(|cause| cause.to_string().contains("not a qcow2 image")));
    write(path, &[("b", overlay("a", Some("vmdk")))]);
    let error = open(path, "b", &ChainOptions::default()).expect_err("vmdk is not read here");
    assert!(error.source().is_some_and(|cause| cause.to_string().contains("vmdk")));
}

#[test]
fn nothing_is_opened_without_a_policy_and_the_file_alone_needs_none() {
    let storage: Arc<dyn stillpoint_storage::Storage> = Arc::new(overlay("/etc/shadow", Some("raw")));
    let top = Source::new(storage, "top", None);
    let (chain, error) =
        Chain::open_readable(top, None, &DenyAll, &ChainOptions::default()).expect("the image is fine");
    assert_eq!(chain.layers().len(), 1);
    assert!(matches!(error, Some(Error::Reference(ReferenceError::Denied { .. }))));
}

/// A resolver of a caller's own, as for a volume: files are known by ids of its own.
#[derive(Default)]
struct Volume(HashMap<Vec<u8>, Vec<u8>>);

impl Resolver for Volume {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let Target::File { path, .. } = &reference.target else {
            return Err(ReferenceError::Denied { kind: reference.kind, name: reference.stored.clone() });
        };
        let bytes = self.0.get(path.as_bytes()).ok_or_else(|| ReferenceError::Open {
            path: path.clone(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let id = FileId::Other(bytes.iter().copied().take(200).collect());
        Ok(Source::new(Arc::new(bytes.clone()), path.clone(), Some(id)))
    }
}

#[test]
fn a_resolver_of_the_callers_own_decides_what_names_mean() {
    let mut volume = Volume::default();
    volume.0.insert(b"vm/base".to_vec(), overlay("../pool/root", Some("raw")));
    volume.0.insert(b"vm/../pool/root".to_vec(), vec![0; 512]);
    let top = |backing| Source::new(Arc::new(overlay(backing, Some("qcow2"))), "vm/top", None);
    let open = |source| Chain::open(source, None, &volume, &ChainOptions::default());
    let chain = open(top("base")).expect("it has an end");
    let names: Vec<Name> = chain.layers().iter().map(|layer| layer.source().name.clone()).collect();
    assert_eq!(names, ["vm/top".into(), "vm/base".into(), "vm/../pool/root".into()]);
    assert!(open(top("other")).is_err());
}
