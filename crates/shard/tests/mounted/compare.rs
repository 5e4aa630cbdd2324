//! What is read from bricks, against what was written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use stillpoint_shard::{EntryKind, Volume};
use stillpoint_storage::{ExtentKind, extents};

use super::{SHARD, full, open, read};

/// Goes through the volume: it has these files and no others, link files of renames left out, each of its size.
pub(crate) fn listed(volume: &Volume, mount: &Path, names: &[String]) {
    let mut found: Vec<(String, u64)> = Vec::new();
    for entry in volume.walk("/").unwrap() {
        let entry = entry.unwrap();
        if let EntryKind::File { size, .. } = entry.kind {
            assert!(entry.is_sharded());
            found.push((entry.path.to_str().unwrap().to_owned(), size));
        }
    }
    let mut expected: Vec<_> =
        names.iter().map(|name| (name.clone(), mount.join(name).metadata().unwrap().len())).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

/// Whether there is nothing but zeros. By pieces: tests are built without optimisation, and holes are large.
pub(crate) fn all_zeros(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    bytes.chunks(ZEROS.len()).all(|piece| ZEROS.starts_with(piece))
}

/// All ways to take `count` of `of` bricks.
pub(crate) fn subsets(of: usize, count: usize) -> Vec<Vec<usize>> {
    (0..1_u32 << of)
        .filter(|set| set.count_ones() as usize == count)
        .map(|set| (0..of).filter(|brick| set >> brick & 1 == 1).collect())
        .collect()
}

/// Files that are read whole: without most of those that were only renamed, but for a full run.
pub(crate) fn most(names: Vec<String>) -> Vec<String> {
    let is_like_others = |name: &str| name.strip_prefix("renamed-").is_some_and(|number| number > "1");
    names.into_iter().filter(|name| full() || !is_like_others(name)).collect()
}

/// Files that are read again and again; all of them in a full run.
pub(crate) fn some(names: &[String]) -> Vec<String> {
    let few = [format!("vms/a b/size-{}", SHARD + 1), "vms/a b/size-1".to_owned(), "sparse".to_owned()];
    names.iter().filter(|name| full() || few.contains(name)).cloned().collect()
}

/// What all bricks together give, by name, read by the name and, where it is short, by the gfid; and that nothing but zeros is a hole.
///
/// The mount is compared with that last: reading a hole there makes the shards that it misses, and reads at the same
/// time have been seen to make one twice, with another gfid on one brick than on the others.
pub(crate) fn whole(volume: &Volume, names: &[String]) -> BTreeMap<String, Vec<u8>> {
    let one = |name: &String| {
        let file = open(volume, name).unwrap();
        let bytes = read(&file).unwrap();
        if full() || file.shard_count() <= 2 {
            let by_gfid = open(volume, &format!("gfid:{}", file.gfid())).unwrap();
            assert!(read(&by_gfid).unwrap() == bytes, "{name} by its gfid");
        }
        for extent in extents(&file).map(Result::unwrap).filter(|extent| extent.kind != ExtentKind::Data) {
            assert_eq!(extent.kind, ExtentKind::Hole, "{name}");
            let (start, end) = (extent.offset as usize, extent.end() as usize);
            assert!(all_zeros(&bytes[start..end]), "{name} {extent:?}");
        }
        assert_eq!(file.findings(), [], "{name}");
        (name.clone(), bytes)
    };
    names.iter().map(one).collect()
}

/// The same as the mount reads.
pub(crate) fn equals_the_mounts(mount: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        assert!(&fs::read(mount.join(name)).unwrap() == bytes, "{name} differs from what the mount reads");
    }
}

/// Some of the files.
pub(crate) fn only(files: &BTreeMap<String, Vec<u8>>, names: &[String]) -> BTreeMap<String, Vec<u8>> {
    names.iter().map(|name| (name.clone(), files[name].clone())).collect()
}

/// How many files of `expected` are read from the volume. None is read as anything else.
pub(crate) fn equal(volume: &Volume, expected: &BTreeMap<String, Vec<u8>>) -> usize {
    let right = |(name, expected): (&String, &Vec<u8>)| {
        let error = match open(volume, name).map(|file| read(&file)) {
            Ok(Ok(bytes)) => {
                assert!(&bytes == expected, "{name} differs without {:?}", volume.missing_bricks());
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        println!("{}", error.lines().next().unwrap_or_default());
        false
    };
    expected.iter().filter(|entry| right(*entry)).count()
}
