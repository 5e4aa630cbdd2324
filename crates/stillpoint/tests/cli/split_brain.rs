//! Copies in split-brain, and copies that differ: what the reading commands say and do.

use std::fs;

use stillpoint_testkit::volume::{Change, Shape};

use crate::volume::{SHARD, Site, content, is_root, json, site_of};
use crate::{stderr, stdout, stillpoint};

/// The second shard is in split-brain: it is `a` on the first brick of its set and `b` on the other.
fn split() -> (Site, [usize; 2]) {
    let mut site = site_of("gv1", Shape { replicas: 2, ..Shape::default() }, &content());
    let path = site.trees.shard_path("vm/disk.img", 1);
    let first = site.trees.members(site.trees.shard_subvolume("vm/disk.img", 1).expect("a layout")).start;
    for (brick, byte) in [(first, b'a'), (first + 1, b'b')] {
        fs::write(site.trees.brick(brick).join(&path), vec![byte; SHARD as usize]).expect("written");
        let other = 2 * first + 1 - brick;
        site.trees.set_blame(brick, other, &path, Change::Data, 4).expect("set");
    }
    (site, [first, first + 1])
}

fn export(site: &Site, args: &[&str]) -> assert_cmd::Command {
    let mut command = stillpoint();
    command.args(["export", "--force", "--output", "json", "--volume"]).arg(&site.spec).args(args);
    command.arg("vm/disk.img").arg(site.spec.with_file_name("out.img"));
    command
}

#[test]
fn split_brain_is_refused_with_its_matrix_until_a_copy_is_chosen_which_is_told_everywhere() {
    if !is_root() {
        return;
    }
    let (site, bricks) = split();
    for args in [&[][..], &["--split-brain", "refuse"], &["--split-brain", "latest-mtime,refuse,bigger-file"]]
    {
        // Written within one tick of the clock or not: mtimes are set alike.
        for brick in bricks {
            let path = site.trees.brick(brick).join(site.trees.shard_path("vm/disk.img", 1));
            let file = fs::File::options().write(true).open(path).expect("a shard");
            file.set_modified(std::time::UNIX_EPOCH).expect("set");
        }
        let mut refused = export(&site, args);
        refused.assert().code(1);
        let complaint = stderr(&mut refused);
        assert!(complaint.contains("split-brain") && complaint.contains("(4 changes)"), "{complaint}");
        assert!(
            complaint.contains("4/0/0") && complaint.contains(&site.trees.brick_name(bricks[0])),
            "{complaint}"
        );
    }
    let manifest = site.spec.with_file_name("manifest.json");
    for (brick, byte) in bricks.into_iter().zip([b'a', b'b']) {
        let name = site.trees.brick_name(brick);
        let choice = format!("source-brick={name}");
        let into = manifest.to_str().expect("text");
        let mut command = export(&site, &["--split-brain", &choice, "--manifest", into]);
        let report = json(&stdout(&mut command));
        let told = |text: &str| {
            text.contains("split-brain") && text.contains(&format!("copy on {name} is believed"))
        };
        assert!(told(report["findings"][0].as_str().expect("a finding")), "{report}");
        let complaint = stderr(&mut command);
        assert_eq!(complaint.matches("is believed").count(), 1, "{complaint}");
        let manifest = json(&fs::read_to_string(&manifest).expect("written"));
        let choices = &manifest["disks"][0]["layers"][0]["choices"];
        assert!(told(choices[0].as_str().expect("a choice")), "{manifest}");
        let mut expected = content();
        expected[SHARD as usize..2 * SHARD as usize].fill(byte);
        assert!(fs::read(site.spec.with_file_name("out.img")).expect("exported") == expected);

        // Every command that reads takes it and tells it.
        for args in [
            &["locate", "--output", "json", "vm/disk.img", "70000"][..],
            &["map", "-f", "raw", "vm/disk.img"],
            &["compare", "-f", "raw", "-F", "raw", "vm/disk.img", "vm/disk.img"],
        ] {
            let mut command = stillpoint();
            command.args(args).args(["--split-brain", &choice, "--volume"]).arg(&site.spec).assert().code(0);
            assert!(told(&stderr(&mut command)), "{args:?}: {}", stderr(&mut command));
        }
    }
    let mut strange = export(&site, &["--split-brain", "source-brick=siteZ:/b"]);
    strange.assert().code(1);
    assert!(stderr(&mut strange).contains("no brick of volume"), "{}", stderr(&mut strange));
    export(&site, &["--split-brain", "majority"]).assert().code(2);
    stillpoint().args(["info", "--split-brain", "bigger-file", "x"]).assert().code(1);
}

#[test]
fn copies_that_differ_end_an_export_that_compares_them() {
    if !is_root() {
        return;
    }
    let site = site_of("gv1", Shape { replicas: 2, ..Shape::default() }, &content());
    export(&site, &["--compare"]).assert().code(0);
    let brick = site.trees.members(site.trees.shard_subvolume("vm/disk.img", 3).expect("a layout")).end - 1;
    let path = site.trees.brick(brick).join(site.trees.shard_path("vm/disk.img", 3));
    let mut bytes = fs::read(&path).expect("a shard");
    bytes[100] ^= 1;
    fs::write(&path, bytes).expect("written");
    export(&site, &[]).assert().code(0);
    let mut command = export(&site, &["--compare"]);
    command.assert().code(1);
    let complaint = stderr(&mut command);
    assert!(
        complaint.contains("shard 3 of vm/disk.img") && complaint.contains("1 bytes from its offset 100"),
        "{complaint}"
    );
    assert!(complaint.contains(&site.trees.brick_name(brick)), "{complaint}");
}

fn verify(near: &Site, far: &Site, args: &[&str]) -> assert_cmd::Command {
    let mut command = stillpoint();
    command.args(["verify", "vm/disk.img", "--output", "json", "--primary"]).arg(&near.spec);
    command.arg("--secondary").arg(&far.spec).args(args);
    command
}

#[test]
fn a_proof_tells_what_was_chosen_of_a_split_brain_at_either_site() {
    if !is_root() {
        return;
    }
    let (near, bricks) = split();
    let far = site_of("gv2", Shape::default(), &content());
    let mut refused = verify(&near, &far, &[]);
    refused.assert().code(1);
    assert!(stderr(&mut refused).contains("split-brain"), "{}", stderr(&mut refused));
    let name = near.trees.brick_name(bricks[1]);
    let choice = format!("source-brick={name}");
    for (primary, secondary, site) in [(&near, &far, "primary: "), (&far, &near, "secondary: ")] {
        // Whichever is chosen here, it is not what the other site has.
        let mut command = verify(primary, secondary, &["--split-brain", &choice]);
        command.assert().code(1);
        let proof = json(&stdout(&mut command));
        assert_eq!(proof["holds"], false);
        let told = proof["choices"][0].as_str().expect("a choice");
        assert!(told.starts_with(site) && told.contains(&format!("copy on {name} is believed")), "{told}");
        assert_eq!(proof["differences"][0]["shards"][0]["index"], 1);
    }
    let mut strange = verify(&near, &far, &["--split-brain", "source-brick=siteZ:/b"]);
    strange.assert().code(1);
    assert!(stderr(&mut strange).contains("no brick of volume gv1 or gv2"), "{}", stderr(&mut strange));
    verify(&near, &far, &["--split-brain", "majority"]).assert().code(2);
    // Without any there is none.
    let proof = json(&stdout(&mut verify(&far, &far, &[])));
    assert!(proof.get("choices").is_none() && proof["holds"] == true, "{proof}");
}

#[test]
fn a_verification_that_compares_copies_ends_where_they_differ() {
    if !is_root() {
        return;
    }
    let near = site_of("gv1", Shape { replicas: 2, ..Shape::default() }, &content());
    let far = site_of("gv2", Shape { replicas: 3, redundancy: 1, ..Shape::default() }, &content());
    verify(&near, &far, &["--compare"]).assert().code(0);
    for site in [&near, &far] {
        let brick =
            site.trees.members(site.trees.shard_subvolume("vm/disk.img", 3).expect("a layout")).end - 1;
        let path = site.trees.brick(brick).join(site.trees.shard_path("vm/disk.img", 3));
        let whole = fs::read(&path).expect("a shard");
        let mut bytes = whole.clone();
        bytes[100] ^= 1;
        fs::write(&path, bytes).expect("written");
        // The copy that is off is not the one that is read: among good ones that is the newest.
        let file = fs::File::options().write(true).open(&path).expect("a shard");
        file.set_modified(std::time::UNIX_EPOCH).expect("set");
        verify(&near, &far, &[]).assert().code(0);
        let mut command = verify(&near, &far, &["--compare"]);
        command.assert().code(1);
        let complaint = stderr(&mut command);
        assert!(complaint.contains(&site.trees.brick_name(brick)), "{complaint}");
        fs::write(&path, whole).expect("written");
    }
}

/// The size of the file is in its xattrs, and which of these count is what is split.
#[test]
fn a_list_tells_what_it_chose() {
    if !is_root() {
        return;
    }
    let mut site = site_of("gv1", Shape { replicas: 2, ..Shape::default() }, &content());
    let first = site.trees.members(site.trees.shard_subvolume("vm/disk.img", 0).expect("a layout")).start;
    for brick in [first, first + 1] {
        let other = 2 * first + 1 - brick;
        site.trees.set_blame(brick, other, "vm/disk.img", Change::Metadata, 4).expect("set");
    }
    let list = |args: &[&str]| {
        let mut command = stillpoint();
        command.args(["ls", "--output", "json", "--volume"]).arg(&site.spec).args(args).arg("vm");
        command
    };
    let mut refused = list(&[]);
    refused.assert().code(3);
    let listed = json(&stdout(&mut refused));
    assert!(listed["choices"].as_array().expect("a list").is_empty(), "{listed}");
    assert!(listed["problems"][0].as_str().expect("a problem").contains("split-brain"), "{listed}");
    let name = site.trees.brick_name(first + 1);
    let choice = format!("source-brick={name}");
    let mut chosen = list(&["--split-brain", &choice]);
    chosen.assert().code(0);
    let listed = json(&stdout(&mut chosen));
    let told = listed["choices"][0].as_str().expect("a choice");
    assert!(told.contains("vm/disk.img") && told.contains(&format!("copy on {name} is believed")), "{told}");
    assert_eq!(listed["entries"][0]["size"].as_u64(), Some(content().len() as u64));
}
