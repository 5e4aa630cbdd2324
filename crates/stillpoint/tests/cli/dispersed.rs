//! Reading from the bricks of a dispersed volume: two subvolumes, each of six fragments of which four suffice.

use std::fs;
use std::os::unix::fs::FileExt as _;

use stillpoint_testkit::volume::Shape;

use crate::volume::{SHARD, Site, content, is_root, json, site, site_of};
use crate::{stderr, stdout, stillpoint};

fn dispersed(name: &str) -> Site {
    site_of(name, Shape { replicas: 6, redundancy: 2, ..Shape::default() }, &content())
}

#[test]
fn an_export_without_two_bricks_of_each_subvolume_is_the_file_and_without_three_is_refused() {
    if !is_root() {
        return;
    }
    let site = dispersed("gv1");
    let export = |name: &str| {
        let mut command = stillpoint();
        command.args(["export", "--volume"]).arg(&site.spec).arg("vm/disk.img");
        command.arg(site.spec.with_file_name(name));
        command
    };
    for number in [0, 5, 7, 8] {
        fs::remove_dir_all(site.trees.brick(number)).expect("removed");
    }
    export("out.img").assert().code(0);
    assert!(fs::read(site.spec.with_file_name("out.img")).expect("exported") == content());

    for number in [2, 9] {
        fs::remove_dir_all(site.trees.brick(number)).expect("removed");
    }
    let mut refused = export("refused.img");
    refused.assert().code(1);
    let complaint = stderr(&mut refused);
    let named = [0, 2, 5].map(|number| complaint.contains(&site.trees.brick_name(number)));
    let others = [7, 8, 9].map(|number| complaint.contains(&site.trees.brick_name(number)));
    assert!(named == [true; 3] || others == [true; 3], "{complaint}");
    assert!(!site.spec.with_file_name("refused.img").exists());
}

#[test]
fn locate_shows_which_fragments_are_read() {
    if !is_root() {
        return;
    }
    let site = dispersed("gv1");
    let mut command = stillpoint();
    command.args(["locate", "--volume"]).arg(&site.spec).args(["vm/disk.img", "70000"]);
    let text = stdout(&mut command);
    assert!(text.contains("(fragment 0, read, 16384 bytes long"), "{text}");
    assert!(text.contains("(fragment 5, as good, 16384 bytes long"), "{text}");
    let found = json(&stdout(command.args(["--output", "json"])));
    assert_eq!(found["state"]["len"].as_u64(), Some(SHARD));
    assert_eq!(found["state"]["copies"][3]["fragment"].as_u64(), Some(3));
}

#[test]
fn verify_holds_between_fragments_and_copies_and_not_where_a_fragment_was_tampered_with() {
    if !is_root() {
        return;
    }
    let (primary, secondary) = (dispersed("gv1"), site("gv2", 1, &content()));
    let mut command = stillpoint();
    command.args(["verify", "vm/disk.img", "--output", "json", "--primary"]).arg(&primary.spec);
    command.arg("--secondary").arg(&secondary.spec);
    let proof = json(&stdout(&mut command));
    assert_eq!(proof["holds"].as_bool(), Some(true), "{proof}");

    let subvolume = primary.trees.shard_subvolume("vm/disk.img", 4).expect("a layout");
    let brick = primary.trees.members(subvolume).start;
    let shard = primary.trees.brick(brick).join(primary.trees.shard_path("vm/disk.img", 4));
    let file = fs::File::options().write(true).open(&shard).expect("a fragment");
    file.write_all_at(b"tampered", 1000).expect("written");
    command.assert().code(1);
    let proof = json(&stdout(&mut command));
    let named = &proof["differences"][0]["shards"][0];
    assert_eq!((named["index"].as_u64(), named["kind"].as_str()), (Some(4), Some("different")));
    assert_eq!(named["primary_places"].as_array().map(Vec::len), Some(6));
}

#[test]
fn bricks_alone_are_put_into_the_order_that_is_proven_or_given() {
    if !is_root() {
        return;
    }
    let site = dispersed("gv1");
    let out = site.spec.with_file_name("out.img");
    let export = |bricks: &[usize], args: &[&str]| {
        let mut command = stillpoint();
        command.args(["export", "--force"]).args(args);
        for brick in bricks {
            command.arg("--brick").arg(site.trees.brick(*brick));
        }
        command.arg("vm/disk.img").arg(&out);
        command
    };
    // The file's last shard ends within a stripe; of the set without it, nothing does.
    let mut refused = export(&[4, 0, 9, 3, 1, 6, 2, 5, 8, 10, 11, 7], &[]);
    refused.assert().code(1);
    assert!(stderr(&mut refused).contains("--disperse-order given"), "{}", stderr(&mut refused));
    let given: Vec<usize> = (0..12).collect();
    let mut command = export(&given, &["--disperse-order", "given"]);
    command.assert().code(0);
    assert!(fs::read(&out).expect("exported") == content());
    assert_eq!(stderr(&mut command).matches("in which they were given").count(), 2);
}
