//! Whatever an xattr or a name holds: no panic, and what is decoded keeps its format's promises.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_shard::raw::{hash, xattr};
use stillpoint_testkit::volume::name_hash;

fuzz_target!(|bytes: &[u8]| {
    if let Some(layout) = xattr::layout(bytes) {
        assert!(layout.start <= layout.stop);
        assert!(layout.is_empty() || layout.contains(layout.start) && layout.contains(layout.stop));
    }
    if let Some(name) = xattr::linkto(bytes) {
        assert!(!name.is_empty() && !name.contains('\0'));
    }
    if let Some((_, name)) = xattr::gfid2path(bytes) {
        assert!(!name.is_empty() && !name.contains(&b'/'));
    }
    assert_eq!(xattr::uuid(bytes).is_some(), bytes.len() == 16);
    assert_eq!(xattr::shard_block_size(bytes).is_some(), bytes.len() == 8);
    assert_eq!(xattr::file_size(bytes).is_some(), bytes.len() == 32);
    assert_eq!(xattr::pending(bytes).is_some(), bytes.len() == 12);
    let _ = (xattr::mdata(bytes), xattr::stime(bytes), xattr::ec_config(bytes));
    // The hash was written twice, from the same description.
    if let Ok(name) = std::str::from_utf8(bytes) {
        assert_eq!(hash::dm_hash(hash::munge(bytes)), name_hash(name));
    }
});
