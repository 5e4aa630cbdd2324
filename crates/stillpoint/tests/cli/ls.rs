//! Listing a volume from its bricks.

use std::path::PathBuf;

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
    let shape = Shape { subvolumes: 3, shard_size: 4096, kept_in: KeptIn::FileSystem, ..Shape::default() };
    let mut trees = BrickTrees::create(dir.path(), shape).expect("bricks");
    trees.create_directory("vm").expect("a directory");
    trees.create_file("vm/disk.img").expect("a file");
    trees.write("vm/disk.img", 0, &[7; 10_000]).expect("written");
    trees.create_plain_file("notes").expect("a file");
    std::os::unix::fs::symlink("notes", trees.brick(0).join("lin\x1bk")).expect("a link");
    std::fs::write(dir.path().join("gv1.vol"), trees.client_volfile()).expect("written");
    Site { trees, dir }
}

impl Site {
    fn ls(&self, args: &[&str]) -> assert_cmd::Command {
        let mut command = stillpoint();
        command.arg("ls").args(args).arg("--volume").arg(self.dir.path().join("gv1.vol"));
        command
    }
}

#[test]
fn a_directory_is_listed_by_names_or_at_length_and_gone_into_where_asked() {
    if !is_root() {
        return;
    }
    let site = site();
    assert_eq!(stdout(&mut site.ls(&[])), "lin\\x1bk\nnotes\nvm\n");
    assert_eq!(stdout(&mut site.ls(&["vm"])), "vm/disk.img\n");
    assert_eq!(stdout(&mut site.ls(&["-R"])), "lin\\x1bk\nnotes\nvm\nvm/disk.img\n");
    assert_eq!(stdout(&mut site.ls(&["--sharded"])), "vm/disk.img\n");
    let long = stdout(&mut site.ls(&["-lR"]));
    let lines: Vec<Vec<&str>> = long.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.iter().map(|line| line[0]).collect::<Vec<_>>(), ["l", "f", "d", "s"], "{long}");
    assert_eq!((&lines[3][1..3], lines[3][4]), (&["10000", "4096"][..], "vm/disk.img"));
    let by_gfid = stdout(&mut site.ls(&["-l", &format!("gfid:{}", lines[3][3])]));
    assert!(by_gfid.contains("10000") && by_gfid.contains(lines[3][3]), "{by_gfid}");
    let mounted = stdout(&mut site.ls(&["--mounted-at", "/mnt/gv1", "/mnt/gv1/vm"]));
    assert_eq!(mounted, "vm/disk.img\n");
}

#[test]
fn the_list_as_json_has_a_schema_and_all_that_is_known() {
    if !is_root() {
        return;
    }
    let site = site();
    let text = stdout(&mut site.ls(&["-R", "--output", "json"]));
    let list: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((list["schema_version"].as_u64(), list["volume"].as_str()), (Some(1), Some("gv1")));
    assert_eq!(list["problems"], serde_json::json!([]));
    let disk = &list["entries"][3];
    assert_eq!(
        (disk["path"].as_str(), disk["type"].as_str(), disk["size"].as_u64(), disk["shard_size"].as_u64()),
        (Some("vm/disk.img"), Some("file"), Some(10_000), Some(4096))
    );
    assert!(disk["subvolume"].as_str().expect("a name").starts_with("gv1-client-"));
    assert_eq!(
        (list["entries"][0]["type"].as_str(), &list["entries"][0]["gfid"]),
        (Some("symlink"), &Value::Null)
    );
    assert!(!text.contains("NEVER-SHOWN"));
}

#[test]
fn a_list_that_is_not_whole_says_what_is_missing_and_exits_3() {
    if !is_root() {
        return;
    }
    let site = site();
    std::fs::remove_dir_all(site.trees.brick(1)).expect("removed");
    let mut command = site.ls(&["-R"]);
    command.assert().code(3);
    let missing: PathBuf = site.trees.brick(1).to_owned();
    assert!(stderr(&mut command).contains(&missing.display().to_string()), "{}", stderr(&mut command));
    assert!(stdout(&mut command).contains("vm\n"));
    // Bricks alone prove the same.
    let mut bricks = stillpoint();
    bricks.args(["ls", "--brick"]).arg(site.trees.brick(0)).arg("--brick").arg(site.trees.brick(2));
    bricks.assert().code(3);
    assert!(stderr(&mut bricks).contains("hashes"), "{}", stderr(&mut bricks));
    for nothing in ["nothing", "../vm", "gfid:x"] {
        site.ls(&[nothing]).assert().code(1);
    }
    stillpoint().arg("ls").assert().code(2);
}
