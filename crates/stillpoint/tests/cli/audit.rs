//! Auditing a volume's bricks.

use serde_json::Value;
use stillpoint_testkit::volume::{BrickTrees, KeptIn, Shape};

use crate::volume::is_root;
use crate::{stderr, stdout, stillpoint};

struct Site {
    trees: BrickTrees,
    dir: tempfile::TempDir,
}

fn site() -> Site {
    let dir = tempfile::tempdir().expect("a directory");
    let shape = Shape {
        subvolumes: 2,
        replicas: 2,
        shard_size: 4096,
        kept_in: KeptIn::FileSystem,
        ..Shape::default()
    };
    let mut trees = BrickTrees::create(dir.path(), shape).expect("bricks");
    trees.create_directory("vm").expect("a directory");
    trees.create_file("vm/disk.img").expect("a file");
    trees.write("vm/disk.img", 0, &[7; 20_000]).expect("written");
    std::fs::write(dir.path().join("gv1.vol"), trees.client_volfile()).expect("written");
    Site { trees, dir }
}

impl Site {
    fn audit(&self, args: &[&str]) -> assert_cmd::Command {
        let mut command = stillpoint();
        command.arg("audit").args(args).arg("--volume").arg(self.dir.path().join("gv1.vol"));
        command
    }
}

#[test]
fn a_clean_volume_exits_0_and_says_what_was_looked_at() {
    if !is_root() {
        return;
    }
    let site = site();
    let mut command = site.audit(&["--compare", "--jobs", "3"]);
    command.assert().code(0);
    let text = stdout(&mut command);
    assert!(
        text.starts_with("3 directories, 1 files (1 in shards), 4 shards, 10 copies looked at\n5 of them"),
        "{text}"
    );
    assert!(text.ends_with("clean: everything was looked at, and nothing was found\n"), "{text}");
    assert_eq!(stderr(&mut command), "");
    let text = stdout(&mut site.audit(&["--output", "json", "vm"]));
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((report["schema_version"].as_u64(), report["volume"].as_str()), (Some(1), Some("gv1")));
    assert_eq!(
        (&report["clean"], &report["worst"], &report["findings"]),
        (&true.into(), &Value::Null, &serde_json::json!([]))
    );
    assert_eq!(report["summary"]["shards"], 4);
}

#[test]
fn findings_are_told_with_what_they_mean_and_exit_6() {
    if !is_root() {
        return;
    }
    let mut site = site();
    site.trees.set_up(0, false);
    site.trees.set_up(2, false);
    site.trees.write("vm/disk.img", 4096, &[8; 8192]).expect("written");
    let mut command = site.audit(&[]);
    command.assert().code(6);
    let text = stdout(&mut command);
    assert!(
        text.contains("attention") && text.contains("vm/disk.img, shard") && text.contains("heal"),
        "{text}"
    );
    let mut command = site.audit(&["--output", "json"]);
    let report: Value = serde_json::from_str(&stdout(&mut command)).expect("JSON");
    let finding = &report["findings"][0];
    assert_eq!((&report["clean"], report["worst"].as_str()), (&false.into(), Some("attention")));
    assert_eq!(
        (finding["finding"].as_str(), finding["severity"].as_str(), finding["path"].as_str()),
        (Some("needs_heal"), Some("attention"), Some("vm/disk.img"))
    );
    for field in ["gfid", "text", "meaning", "advice"] {
        assert!(finding[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {finding}");
    }
    assert!(finding["shards"][0]["first"].as_u64().is_some() && finding["bricks"][0].as_str().is_some());
    let lines = stdout(&mut command);
    let one_line = lines.lines().filter(|line| line.starts_with("{\"severity\"")).count();
    assert_eq!(one_line, report["findings"].as_array().expect("a list").len());
}

#[test]
fn harmless_findings_exit_0_and_what_is_not_here_3() {
    if !is_root() {
        return;
    }
    let mut site = site();
    site.trees.stray_shard(0, "notes", b"x").expect("written");
    let mut command = site.audit(&[]);
    command.assert().code(0);
    assert!(stdout(&mut command).contains("findings: 1 harmless"), "{}", stdout(&mut command));
    std::fs::remove_dir_all(site.trees.brick(3)).expect("removed");
    let mut command = site.audit(&[]);
    command.assert().code(3);
    let text = stdout(&mut command);
    assert!(text.contains("not looked at: brick") && text.contains("/b3"), "{text}");
    for nothing in ["nothing", "../vm", "gfid:x"] {
        let mut command = site.audit(&["--output", "json", nothing]);
        command.assert().code(1);
        assert_eq!(stdout(&mut command), "");
    }
    stillpoint().arg("audit").assert().code(2);
}
