//! `inspect`, and `info --explain`.

use std::fs;

use serde_json::Value;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};

use crate::{stdout, stillpoint};

fn large() -> ImageBuilder {
    let mut image = ImageBuilder::v3().size(16 << 20);
    for cluster in 0..70 {
        image = image.cluster(cluster, ClusterSpec::Data(vec![1; 65536]));
    }
    image
}

#[test]
fn a_verdict_has_an_exit_code() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("safe"), large().build()).expect("written");
    fs::write(dir.path().join("names"), large().backing(b"/etc/shadow", Some("raw")).build())
        .expect("written");
    let inspect = |args: &[&str]| {
        let mut command = stillpoint();
        command.current_dir(dir.path()).args(["inspect", "--untrusted"]).args(args);
        command
    };
    inspect(&["safe"]).assert().code(0);
    inspect(&["names"]).assert().code(1);
    inspect(&["nothing"]).assert().code(1);
    inspect(&["--max-size", "1M", "safe"]).assert().code(1);
    inspect(&["--format", "raw", "safe"]).assert().code(1);
    inspect(&["--format", "nonsense", "safe"]).assert().code(1);
    let text = stdout(&mut inspect(&["names"]));
    assert!(
        text.starts_with("unsafe: ") && text.contains("! It names a backing file, \"/etc/shadow\""),
        "{text}"
    );
    let json: Value =
        serde_json::from_str(&stdout(&mut inspect(&["--output", "json", "safe"]))).expect("JSON");
    assert_eq!((&json["schema_version"], &json["verdict"]), (&1.into(), &"safe".into()));
}

#[test]
fn a_pipe_is_judged_as_it_comes_by_and_a_file_on_stdin_wholly() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = large().build();
    fs::write(dir.path().join("safe"), &image).expect("written");
    let mut command = stillpoint();
    command.args(["inspect", "--untrusted"]).write_stdin(image.clone()).assert().code(3);
    let mut command = stillpoint();
    command
        .args(["inspect", "--untrusted", "--header-only", "-"])
        .write_stdin(image.clone())
        .assert()
        .code(0);
    let mut command = stillpoint();
    let hostile = ImageBuilder::v3().data_file(b"/dev/sda", true).build();
    command.args(["inspect", "--untrusted", "-"]).write_stdin(hostile).assert().code(1);
    let file = fs::File::open(dir.path().join("safe")).expect("it is there");
    let program = stillpoint();
    let status = std::process::Command::new(program.get_program())
        .args(["inspect", "--untrusted", "-"])
        .stdin(file)
        .stdout(std::process::Stdio::null())
        .status();
    assert_eq!(status.expect("it runs").code(), Some(0));
}

#[test]
fn an_account_is_no_verdict() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = ImageBuilder::v3().backing(b"base.raw", Some("raw")).build();
    fs::write(dir.path().join("top"), image).expect("written");
    for verb in [&["inspect"][..], &["info", "--explain"]] {
        let mut command = stillpoint();
        command.current_dir(dir.path()).args(verb).arg("top");
        command.assert().code(0);
        let text = stdout(&mut command);
        assert!(text.contains("It names a backing file, \"base.raw\""), "{text}");
        assert!(text.contains("below the image's own directory"), "{text}");
        let json: Value = serde_json::from_str(&stdout(command.args(["--output", "json"]))).expect("JSON");
        assert_eq!(json["schema_version"], 1);
        assert!(json.get("verdict").is_none());
    }
}

#[test]
fn a_chain_is_explained_image_by_image() {
    let dir = tempfile::tempdir().expect("a directory");
    let top = ImageBuilder::v3().backing(b"middle.qcow2", Some("qcow2")).build();
    let middle = ImageBuilder::v2().backing(b"base.raw", Some("raw")).build();
    for (name, bytes) in [("top.qcow2", &top), ("middle.qcow2", &middle), ("base.raw", &vec![0; 1024])] {
        fs::write(dir.path().join(name), bytes).expect("written");
    }
    let explain = |args: &[&str]| {
        let mut command = stillpoint();
        command.current_dir(dir.path()).args(["info", "--explain", "--backing-chain"]).args(args);
        command
    };
    let text = stdout(&mut explain(&["top.qcow2"]));
    let parts: Vec<_> = text.split("\n\n").collect();
    for (part, (name, fact)) in parts.iter().zip([
        ("top.qcow2:\n", "version 3"),
        ("middle.qcow2:\n", "version 2"),
        ("base.raw:\n", "It is raw"),
    ]) {
        assert!(part.starts_with(name) && part.contains(fact), "{part}");
    }
    assert_eq!(parts.len(), 3, "{text}");
    let json: Value =
        serde_json::from_str(&stdout(&mut explain(&["--output", "json", "top.qcow2"]))).expect("JSON");
    let names: Vec<_> = json.as_array().expect("a list").iter().map(|image| &image["filename"]).collect();
    assert_eq!(names, ["top.qcow2", "middle.qcow2", "base.raw"]);
    fs::remove_file(dir.path().join("base.raw")).expect("removed");
    explain(&["top.qcow2"]).assert().code(1);
}
