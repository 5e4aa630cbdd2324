//! Values computed by an independent port or seen on real bricks, in `tests/data/gluster.json`.

use serde_json::Value;
use stillpoint_shard::raw::{hash, xattr};
use stillpoint_shard::{ShardState, Standing};
use stillpoint_testkit::volume::Shape;
use uuid::Uuid;

use super::support::build;

pub(crate) fn vectors(name: &str) -> Value {
    let text = include_str!("../data/gluster.json");
    let all: Value = serde_json::from_str(text).unwrap();
    all[name].clone()
}

pub(crate) fn list(value: &Value) -> &[Value] {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

pub(crate) fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap(),
        other => other.as_u64().unwrap(),
    }
}

#[test]
fn hashes_of_names_are_glusters() {
    for case in list(&vectors("dm_hash")) {
        let name = hex(&case["name_hex"]);
        assert_eq!(hash::munge(&name), case["munged"].as_str().unwrap().as_bytes(), "{case}");
        assert_eq!(u64::from(hash::dm_hash(hash::munge(&name))), number(&case["hash"]), "{case}");
        assert_eq!(u64::from(hash::dm_hash(&name)), number(&case["hash_unmunged"]), "{case}");
    }
    for case in list(&vectors("munge_default_regex")["cases"]) {
        let munged = hash::munge(case["name"].as_str().unwrap().as_bytes());
        assert_eq!(munged, case["munged"].as_str().unwrap().as_bytes(), "{case}");
        assert_eq!(u64::from(hash::dm_hash(munged)), number(&case["hash"]), "{case}");
    }
}

#[test]
fn hashes_of_every_length_are_glusters() {
    for case in list(&vectors("dm_hash_len_sweep")) {
        assert_eq!(case["bytes"], "byte i = (i*37+11) mod 128");
        let name: Vec<u8> = (0..number(&case["len"])).map(|i| ((i * 37 + 11) % 128) as u8).collect();
        assert_eq!(u64::from(hash::dm_hash(&name)), number(&case["hash"]), "{case}");
    }
}

#[test]
fn layouts_are_ranges_of_hashes() {
    for case in list(&vectors("dht_layout")["cases"]) {
        let layout = xattr::layout(&hex(&case["hex"])).unwrap();
        assert_eq!(u64::from(layout.commit_hash), number(&case["commit_hash"]));
        assert_eq!(u64::from(layout.hash_type), number(&case["type"]));
        assert_eq!(u64::from(layout.start), number(&case["start"]));
        assert_eq!(u64::from(layout.stop), number(&case["stop"]));
        assert_eq!(layout.is_empty(), layout.stop == 0);
    }
}

#[test]
fn layout_and_hash_place_shards_where_a_real_volume_has_them() {
    let observed = vectors("dht_placement_observed");
    let layouts: Vec<_> = list(&observed[".shard_layout"])
        .iter()
        .map(|case| (case["subvol"].as_str().unwrap(), xattr::layout(&hex(&case["hex"])).unwrap()))
        .collect();
    for case in list(&observed["shards"]) {
        let hash = hash::dm_hash(hash::munge(case["name"].as_str().unwrap().as_bytes()));
        assert_eq!(u64::from(hash), number(&case["hash"]), "{case}");
        let at: Vec<_> =
            layouts.iter().filter(|(_, layout)| layout.contains(hash)).map(|(name, _)| *name).collect();
        assert_eq!(at, [case["subvol"].as_str().unwrap()], "{case}");
    }
}

#[test]
fn shard_xattrs_are_decoded() {
    for case in list(&vectors("shard_xattrs")) {
        let block_size = xattr::shard_block_size(&hex(&case["block_size_hex"])).unwrap();
        assert_eq!(block_size, number(&case["block_size"]), "{case}");
        let size = xattr::file_size(&hex(&case["file_size_hex"])).unwrap();
        assert_eq!((size.size, size.blocks), (number(&case["size"]), number(&case["blocks512"])), "{case}");
    }
}

#[test]
fn size_and_shard_size_make_the_number_of_shards() {
    for case in list(&vectors("shard_xattrs")) {
        let shape = Shape { shard_size: number(&case["block_size"]), ..Shape::default() };
        let mut built = build(shape);
        built.trees.create_file("f").unwrap();
        built.trees.truncate("f", number(&case["size"])).unwrap();
        let file = built.open("f", &[]).unwrap();
        assert_eq!(file.shard_count(), number(&case["nblocks"]), "{case}");
        let last = file
            .shard_count()
            .checked_sub(1)
            .map_or(0, |last| file.size() - last * file.shard_size().unwrap());
        assert_eq!(last, number(&case["last_block_len"]), "{case}");
    }
}

#[test]
fn offsets_are_located_in_the_shards_that_hold_them() {
    let map = vectors("offset_map");
    let (size, block) = (number(&map["file_size"]), number(&map["block_size"]));
    let mut built = build(Shape { shard_size: block, ..Shape::default() });
    let gfid = built.trees.create_file("base").unwrap().to_string();
    built.trees.truncate("base", size).unwrap();
    for index in 0..size.div_ceil(block) {
        built.trees.write("base", index * block, b"x").unwrap();
    }
    let file = built.open("base", &[]).unwrap();
    assert_eq!(file.size(), size);
    for case in list(&map["cases"]) {
        let (mut at, end) = (number(&case["off"]), (number(&case["off"]) + number(&case["len"])).min(size));
        for extent in case["extents"].as_array().unwrap() {
            let located = file.locate(at).unwrap();
            let ShardState::Present(shard) = located.state else {
                panic!("shard {} is a hole", located.shard)
            };
            assert_eq!(located.shard, number(&extent["block"]), "{case}");
            assert_eq!(located.offset_in_shard, number(&extent["offset"]), "{case}");
            let path = extent["path"].as_str().unwrap().replace("<base path>", "/base");
            let path = path.replace(map["gfid"].as_str().unwrap(), &gfid);
            let copy = shard.chosen().unwrap();
            assert_eq!(copy.path.to_str().unwrap(), path.trim_start_matches('/'), "{case}");
            assert_eq!(copy.standing, Standing::Chosen);
            at += number(&extent["len"]);
        }
        assert!(at >= end, "{case}");
    }
    assert!(file.locate(size).is_err());
}

#[test]
fn gfids_become_handles_and_names_of_shards() {
    for case in list(&vectors("gfid_paths")) {
        let gfid = xattr::uuid(&hex(&case["gfid_hex"])).unwrap();
        match case["note"].as_str() {
            Some("/.shard") => assert_eq!(gfid, xattr::SHARD_DIR_GFID),
            Some("/.shard/.remove_me") => assert_eq!(gfid, xattr::REMOVE_ME_GFID),
            Some("volume root") => assert_eq!(gfid, xattr::ROOT_GFID),
            _ => assert_eq!(gfid.to_string(), case["text"].as_str().unwrap()),
        }
        if let Some(shard) = case["shard5"].as_str() {
            assert_eq!(format!(".shard/{gfid}.5"), shard);
        }
    }
}

#[test]
fn gfid2path_is_parent_and_name() {
    for case in list(&vectors("gfid2path")) {
        let value = case["value"].as_str().unwrap();
        let (parent, name) = xattr::gfid2path(value.as_bytes()).unwrap();
        assert_eq!(format!("{parent}/{}", std::str::from_utf8(name).unwrap()), value);
        assert!(case["xattr"].as_str().unwrap().starts_with(xattr::GFID2PATH_PREFIX));
    }
    for bad in ["", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001/", "x/y"] {
        assert_eq!(xattr::gfid2path(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(xattr::gfid2path(b"00000000-0000-0000-0000-000000000001/a/b"), None);
}

#[test]
fn counters_times_and_configurations_are_decoded() {
    for case in list(&vectors("afr")) {
        let pending = xattr::pending(&hex(&case["hex"])).unwrap();
        let expected = [number(&case["data"]), number(&case["metadata"]), number(&case["entry"])];
        assert_eq!([pending.data, pending.metadata, pending.entry].map(u64::from), expected, "{case}");
    }
    for case in list(&vectors("stime")) {
        let (sec, sub) = xattr::stime(&hex(&case["hex"])).unwrap();
        assert_eq!([sec, sub].map(u64::from), [number(&case["sec"]), number(&case["sub"])]);
    }
    for case in list(&vectors("mdata")) {
        let mdata = xattr::mdata(&hex(&case["hex"])).unwrap();
        for (time, expected) in [(mdata.ctime, "ctime"), (mdata.mtime, "mtime"), (mdata.atime, "atime")] {
            assert_eq!([time.sec, time.nsec], [number(&case[expected][0]), number(&case[expected][1])]);
        }
    }
    for case in list(&vectors("ec_config")) {
        let config = xattr::ec_config(&hex(&case["hex"])).unwrap();
        assert_eq!(u64::from(config.bricks), number(&case["bricks"]));
        assert_eq!(u64::from(config.redundancy), number(&case["redundancy"]));
        assert_eq!(
            (config.version, config.algorithm, config.gf_word_size, config.chunk_size),
            (0, 0, 8, 512)
        );
    }
}

#[test]
fn values_of_the_wrong_length_are_refused() {
    for len in (0..70).filter(|len| *len != 16) {
        assert_eq!(xattr::uuid(&vec![0; len]), None::<Uuid>, "{len}");
        assert_eq!(xattr::layout(&vec![0; len]), None, "{len}");
    }
    for len in 0..70 {
        let zeros = vec![0; len];
        assert_eq!(xattr::shard_block_size(&zeros).is_some(), len == 8, "{len}");
        assert_eq!(xattr::file_size(&zeros).is_some(), len == 32, "{len}");
        assert_eq!(xattr::pending(&zeros).is_some(), len == 12, "{len}");
        assert_eq!(xattr::ec_config(&zeros).is_some(), len == 8, "{len}");
        assert_eq!(xattr::mdata(&zeros), None, "{len}: a version of 0");
    }
    assert_eq!(xattr::linkto(b"\0"), None);
    assert_eq!(xattr::linkto(b"gv1-replicate-1\0"), Some("gv1-replicate-1"));
}
