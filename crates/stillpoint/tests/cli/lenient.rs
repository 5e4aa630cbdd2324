//! `extract --lenient`: what is left of a damaged image, and what is said of the rest.

use std::fs;

use serde_json::Value;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};

use crate::{stderr, stdout, stillpoint};

#[test]
fn what_is_left_of_a_damaged_image_is_written_and_the_rest_is_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = |damaged: bool| {
        let image = ImageBuilder::v3().cluster_bits(12).size(4 * 4096);
        let image =
            image.cluster(0, ClusterSpec::Data(vec![1; 4096])).cluster(1, ClusterSpec::Data(vec![2; 4096]));
        if damaged { image.backing(b"gone.raw", Some("raw")) } else { image }
    };
    fs::write(dir.path().join("sound.qcow2"), image(false).build()).expect("written");
    let bytes = image(true).build();
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let l2 = word(usize::try_from(word(40)).expect("short")) & 0x00ff_ffff_ffff_fe00;
    let torn = image(true).patch_u64(l2, 1 << 63 | 1 << 40).build();
    fs::write(dir.path().join("torn.qcow2"), torn).expect("written");
    let run = |args: &[&str]| {
        let mut command = stillpoint();
        command.current_dir(dir.path()).args(["extract", "--force"]).args(args);
        command
    };
    run(&["torn.qcow2", "out.raw"]).assert().code(1);
    let mut torn = run(&["--lenient", "--output", "json", "torn.qcow2", "out.raw"]);
    torn.assert().code(3);
    let expected = [vec![0; 4096], vec![2; 4096], vec![0; 2 * 4096]].concat();
    assert!(fs::read(dir.path().join("out.raw")).expect("it was made") == expected);
    let report: Value = serde_json::from_str(&stdout(&mut torn)).expect("JSON");
    let damage = &report["damage"];
    let places: Vec<_> = damage["skipped"].as_array().expect("a list").iter().collect();
    assert_eq!(places.len(), 2, "{report}");
    assert_eq!((&places[0]["offset"], &places[0]["length"]), (&0.into(), &4096.into()));
    assert_eq!((&places[1]["offset"], &places[1]["length"]), (&8192.into(), &8192.into()));
    assert!(damage["unopened"][0].as_str().expect("text").contains("gone.raw"));
    let said = stderr(&mut torn);
    assert!(said.contains("4096 bytes at 0 are zeros now") && said.contains("gone.raw"), "{said}");

    let mut sound = run(&["--lenient", "--output", "json", "sound.qcow2", "out.raw"]);
    sound.assert().code(0);
    let report: Value = serde_json::from_str(&stdout(&mut sound)).expect("JSON");
    assert_eq!(report["damage"]["skipped"], Value::Array(Vec::new()));
}

#[test]
fn a_data_file_that_is_missing_in_the_middle_of_a_chain_is_listed_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = || ImageBuilder::v3().cluster_bits(12).size(3 * 4096);
    let base = image().data_file(b"gone.data", false).cluster(1, ClusterSpec::Data(vec![2; 4096]));
    let top = image().backing(b"base.qcow2", Some("qcow2")).cluster(0, ClusterSpec::Data(vec![1; 4096]));
    fs::write(dir.path().join("base.qcow2"), base.build()).expect("written");
    fs::write(dir.path().join("top.qcow2"), top.build()).expect("written");
    let mut command = stillpoint();
    command.current_dir(dir.path()).args([
        "extract",
        "--lenient",
        "--output",
        "json",
        "top.qcow2",
        "out.raw",
    ]);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let expected = [vec![1; 4096], vec![0; 2 * 4096]].concat();
    assert!(fs::read(dir.path().join("out.raw")).expect("it was made") == expected);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let damage = &report["damage"];
    assert!(damage["unopened"][0].as_str().expect("text").contains("gone.data"), "{report}");
    let skipped = &damage["skipped"][0];
    assert_eq!((&skipped["offset"], &skipped["length"]), (&4096.into(), &4096.into()), "{report}");
    let reason = skipped["reason"].as_str().expect("text");
    assert!(reason.contains("base.qcow2") && reason.contains("gone.data"), "{reason}");
}
