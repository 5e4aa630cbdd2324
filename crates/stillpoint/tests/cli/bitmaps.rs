//! `bitmaps`: what is listed, what is set, and what is said of what can't be believed.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use stillpoint_testkit::image::{BitmapSpec, ImageBuilder};

use crate::{stderr, stdout, stillpoint};

/// A disk of 1 MiB with a bitmap of 64 KiB and one in use.
fn image(dir: &tempfile::TempDir) -> PathBuf {
    let path = dir.path().join("disk.qcow2");
    let nightly = BitmapSpec { bits: vec![0, 1, 5, 15], ..BitmapSpec::new("nightly") };
    let broken = BitmapSpec { flags: 1, bits: vec![3], ..BitmapSpec::new("broken") };
    fs::write(&path, ImageBuilder::v3().size((1 << 20) - 512).bitmap(nightly).bitmap(broken).build())
        .expect("written");
    path
}

#[test]
fn bitmaps_are_listed_with_what_they_hold() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = stillpoint();
    command.arg("bitmaps").arg(image(&dir)).assert().code(0);
    let expected = "nightly: granularity 65536, flags auto, 261632 bytes dirty\n\
                    broken: granularity 65536, flags in-use, dirty bytes not known\n";
    assert_eq!(stdout(&mut command), expected);
    assert_eq!(stderr(&mut command), "");
}

#[test]
fn dirty_ranges_are_told_as_text_and_as_json() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = image(&dir);
    let mut command = stillpoint();
    command.args(["bitmaps", "--ranges", "--bitmap", "nightly"]).arg(&path).assert().code(0);
    let text = "nightly: granularity 65536, flags auto\n  0 131072\n  327680 65536\n  983040 65024\n";
    assert_eq!(stdout(&mut command), text);
    command.args(["--output", "json"]).assert().code(0);
    let listed: Value = serde_json::from_str(&stdout(&mut command)).expect("JSON");
    let range = |offset: u64, length: u64| json!({"offset": offset, "length": length});
    let expected = json!({
        "name": "nightly", "granularity": 65536, "flags": ["auto"], "dirty_bytes": 261_632,
        "ranges": [range(0, 131_072), range(327_680, 65536), range(983_040, 65024)],
    });
    assert_eq!((&listed["schema_version"], &listed["stale"]), (&1.into(), &false.into()));
    assert_eq!(listed["bitmaps"], json!([expected]));
}

#[test]
fn bits_that_cannot_be_believed_are_not_told_when_they_are_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = image(&dir);
    let mut command = stillpoint();
    command.args(["bitmaps", "--ranges", "--output", "json"]).arg(&path).assert().code(3);
    let listed: Value = serde_json::from_str(&stdout(&mut command)).expect("JSON");
    assert_eq!(listed["bitmaps"][0]["dirty_bytes"], 261_632);
    let broken = &listed["bitmaps"][1];
    assert_eq!((&broken["ranges"], &broken["dirty_bytes"]), (&json!([]), &Value::Null));
    assert!(stderr(&mut command).contains("\"broken\" is in use"));
    let mut missing = stillpoint();
    missing.args(["bitmaps", "--bitmap", "nothing"]).arg(&path).assert().code(1);
    assert!(stderr(&mut missing).contains("no bitmap 'nothing'"));
}
