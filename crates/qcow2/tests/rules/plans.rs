//! Any image that the independent writer can make reads back as the model says: the active disk and each snapshot,
//! through the whole chain.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use stillpoint_qcow2::{
    Chain, ChainOptions, Disk, FileId, Format, Reference, ReferenceError, Resolver, Source, Target,
};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::image::oracle::QemuImg;
use stillpoint_testkit::image::plan::{Made, Plan};

/// The files of a plan, by name.
pub(crate) struct Files(pub(crate) Made);

impl Files {
    pub(crate) fn source(&self, name: &str) -> Option<Source> {
        let file = self.0.files.iter().find(|file| file.name == name)?;
        let bytes: Arc<dyn Storage> = Arc::new(file.bytes.clone());
        Some(Source::new(bytes, name, Some(FileId::Other(name.into()))))
    }

    pub(crate) fn chain(&self) -> Chain {
        let top = self.source("0").expect("it is the first");
        Chain::open(top, Some(Format::Qcow2), self, &ChainOptions::default()).expect("it keeps the rules")
    }
}

impl Resolver for Files {
    fn resolve(&self, reference: &Reference) -> Result<Source, ReferenceError> {
        let Target::File { path, .. } = &reference.target else { unreachable!("they name files") };
        Ok(self.source(&path.to_text()).expect("they name each other"))
    }
}

fn read_all(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0xee; usize::try_from(disk.len()).expect("it is short")];
    disk.read_exact_at(0, &mut bytes).expect("it can be read");
    bytes
}

/// Where the two differ first.
pub(crate) fn difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let first = a.iter().zip(b).position(|(a, b)| a != b);
    first.or((a.len() != b.len()).then_some(a.len().min(b.len())))
}

fn judge(made: Made) -> Result<(), TestCaseError> {
    let files = Files(made);
    let chain = files.chain();
    let disk = Disk::open(&chain, &files).expect("it keeps the rules");
    prop_assert_eq!(difference(&read_all(&disk), &files.0.disk), None, "the active disk");
    let mut at = 0;
    for extent in extents(&disk) {
        let extent = extent.expect("it can be told");
        prop_assert_eq!(extent.offset, at);
        at = extent.end();
        let range = usize::try_from(extent.offset).expect("short")..usize::try_from(at).expect("short");
        let zeros = extent.kind == ExtentKind::Data || files.0.disk[range].iter().all(|&byte| byte == 0);
        prop_assert!(zeros, "data in the hole {:?}", extent);
    }
    prop_assert_eq!(at, disk.len());
    let image = chain.layers()[0].image().expect("it is one");
    prop_assert_eq!(image.snapshots().len(), files.0.snapshots.len());
    for (found, made) in image.snapshots().iter().zip(&files.0.snapshots) {
        prop_assert_eq!(found.vm_state_size, made.vm_state.len() as u64);
        let disk = Disk::open_snapshot(&chain, found, &files).expect("it keeps the rules");
        prop_assert_eq!(difference(&read_all(&disk), &made.disk), None, "snapshot {}", found.id.to_text());
    }
    let bitmaps = image.bitmaps().expect("they keep the rules");
    prop_assert_eq!(bitmaps.len(), files.0.bitmaps.len());
    for (found, made) in bitmaps.iter().zip(&files.0.bitmaps) {
        prop_assert_eq!(found.granularity, made.granularity);
    }
    Ok(())
}

pub(crate) fn plans() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_image_that_can_be_made_reads_back_as_the_model_says(bytes in plans()) {
        judge(Plan::of(&bytes).make())?;
    }
}

/// Bytes by a fixed sequence of numbers.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// The writer and the model are no better than what they are held against: QEMU finds nothing wrong with the images,
/// and the same bytes in them.
#[test]
fn qemu_img_has_the_same_of_what_the_writer_writes() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let Some(qemu_img) = QemuImg::find(directory.path()) else { return };
    let (mut disks, mut snapshots) = (0, 0);
    for seed in 0..16 {
        let made = Plan::of(&noise(seed, 100 + usize::try_from(seed).expect("small") * 7)).make();
        for file in &made.files {
            std::fs::write(directory.path().join(&file.name), &file.bytes).expect("it can be written");
        }
        for file in made.files.iter().filter(|file| !file.name.contains('.')) {
            let checked = qemu_img.run(["check", "-U", "-f", "qcow2", &file.name]);
            let said = [&checked.stdout[..], &checked.stderr].concat();
            assert!(checked.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&said));
        }
        let convert = |options: &[&str]| {
            let arguments = ["convert", "-U", "-f", "qcow2", "-O", "raw"].iter().chain(options);
            qemu_img.output(arguments.chain(&["0", "out"]));
            std::fs::read(Path::new(directory.path()).join("out")).expect("it was made")
        };
        assert_eq!(difference(&convert(&[]), &made.disk), None, "seed {seed}: the active disk");
        disks += 1;
        for (number, snapshot) in (1..).zip(&made.snapshots) {
            let wanted = format!("snapshot.id={number}");
            let found = convert(&["-l", &wanted]);
            // qemu-img converts a snapshot at the size that the image has now.
            let len = found.len().min(snapshot.disk.len());
            assert_eq!(difference(&found[..len], &snapshot.disk[..len]), None, "seed {seed}: {wanted}");
            snapshots += 1;
        }
        judge(made).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    println!("compared {disks} disks and {snapshots} snapshots with qemu-img");
    assert!(snapshots > 5, "the plans have too few snapshots: {snapshots}");
}
