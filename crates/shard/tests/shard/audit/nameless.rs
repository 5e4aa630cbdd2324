//! Files whose handle is the only name that they have.

use std::fs;
use std::path::PathBuf;

use stillpoint_shard::audit::{AuditFinding, Problem, Severity};
use stillpoint_shard::{FileRef, OpenOptions, Topology, Volume};
use stillpoint_storage::{ExtentKind, Storage as _};
use stillpoint_testkit::volume::Shape;

use super::super::support::{Built, bytes, pattern};
use super::{audit, audit_of, dispersed, distributed, gfid, handle, holders, only, replicated, take};

/// Every kind of volume, each with a disk, a file of one shard and one that is not sharded.
fn volumes() -> Vec<Built> {
    let mut volumes = vec![distributed(1), distributed(3), replicated(2), dispersed(3, 1)];
    for built in &mut volumes {
        built.trees.create_file("vms/small").unwrap();
        built.trees.write("vms/small", 0, &pattern(2, 100)).unwrap();
        built.trees.create_plain_file("vms/plain").unwrap();
        built.trees.write("vms/plain", 0, &pattern(3, 9000)).unwrap();
    }
    volumes
}

fn remove(built: &Built, path: &str) -> Vec<usize> {
    let bricks = holders(built, path);
    for &brick in &bricks {
        fs::remove_file(built.path(brick, path)).unwrap();
    }
    bricks
}

fn told(findings: &[AuditFinding]) -> Vec<&Problem> {
    findings.iter().map(|finding| &finding.problem).collect()
}

#[test]
fn a_file_without_shards_that_lost_its_name_is_told_with_what_it_was() {
    for built in volumes() {
        for path in ["vms/small", "vms/plain"] {
            let first = holders(&built, path)[0];
            let id = gfid(&built, first, path);
            remove(&built, path);
            let (findings, summary) = audit(&built);
            let lost = findings.iter().find(|finding| finding.gfid == Some(id)).unwrap();
            let Problem::NameLost { shards: 0, base, was } = &lost.problem else { panic!("{findings:#?}") };
            assert!(*base > 0);
            // A dump of a tree has xattrs by name, and so none of what has lost its name.
            assert!(was.as_deref().is_none_or(|was| was == path), "{was:?}");
            assert_eq!((summary.worst(), lost.path.as_ref()), (Some(Severity::AtRisk), None));
        }
        let (findings, _) = audit(&built);
        assert_eq!(findings.len(), 2, "{findings:#?}");
    }
}

#[test]
fn one_that_another_brick_has_a_name_for_is_a_missing_copy() {
    for mut built in [replicated(2), dispersed(3, 1)] {
        built.trees.create_plain_file("vms/plain").unwrap();
        built.trees.write("vms/plain", 0, &pattern(3, 9000)).unwrap();
        fs::remove_file(built.path(1, "vms/plain")).unwrap();
        let (findings, _) = audit(&built);
        let brick = built.name(1);
        only(
            &findings,
            |problem| matches!(problem, Problem::CopyMissing { bricks } if bricks[..] == [brick.clone()]),
        );
        assert_eq!(findings.len(), 1, "{findings:#?}");
        // Nor is anything said where the brick with the name may be one that is not here.
        let (findings, summary) = audit_of(&built.volume(&[0]).unwrap(), "/");
        assert!(
            !told(&findings).iter().any(|problem| matches!(problem, Problem::NameLost { .. })),
            "{findings:#?}"
        );
        assert!(!summary.is_whole());
    }
}

/// The dump of a tree without its names has the handles' xattrs.
fn dump_of_handle(built: &Built, brick: usize, handle: &std::path::Path, xattrs: &[(&str, Vec<u8>)]) {
    use std::fmt::Write as _;
    use std::io::Write as _;
    built.trees.save().unwrap();
    let root = built.trees.brick(brick);
    let name = root.file_name().unwrap().to_str().unwrap();
    let inside = handle.strip_prefix(root).unwrap();
    let mut text = format!("# file: {name}/{}\n", inside.display());
    for (xattr, value) in xattrs {
        let hex = value.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let _ = writeln!(text, "{xattr}=0x{hex}");
    }
    let dump = PathBuf::from(format!("{}.getfattr", root.display()));
    let mut dump = fs::File::options().append(true).open(dump).unwrap();
    dump.write_all(format!("\n{text}\n").as_bytes()).unwrap();
}

/// Opened without writing the dumps anew.
fn audit_as_it_is(built: &Built) -> Vec<AuditFinding> {
    let bricks: Vec<_> = (0..built.trees.brick_count()).map(|n| built.trees.brick(n).to_owned()).collect();
    let topology = Topology::from_bricks(&bricks).unwrap();
    let volume = Volume::open(topology, &Default::default(), Default::default()).unwrap();
    audit_of(&volume, "/").0
}

/// What has no name looks like a hole, and takes a look at all handles to be told from one.
fn comparing_it_is_no_hole(built: &Built, id: uuid::Uuid) {
    let bricks: Vec<_> = (0..built.trees.brick_count()).map(|n| built.trees.brick(n).to_owned()).collect();
    let options = OpenOptions { compare: true, ..OpenOptions::default() };
    let volume = Volume::open(Topology::from_bricks(&bricks).unwrap(), &Default::default(), options).unwrap();
    let file = volume.open_file(&FileRef::Gfid(id)).unwrap();
    let refused = bytes(&file).unwrap_err().to_string();
    assert!(refused.contains("shard 3") && refused.contains("lost its name"), "{refused}");
    assert!(file.shard(3).is_err() && file.shard(2).is_ok());
    assert_eq!(file.next_extent(3 * 4096).unwrap().kind, ExtentKind::Unknown);
}

#[test]
fn a_shard_that_lost_its_name_is_told_if_its_file_is_there() {
    for with_file in [true, false] {
        let built = super::with_disk(Shape { replicas: 2, ..Shape::default() });
        let shard = built.trees.shard_path("vms/disk", 3);
        let (id, own) = (gfid(&built, 0, "vms/disk"), gfid(&built, 0, &shard));
        let handles: Vec<_> = (0..2).map(|brick| handle(&built, brick, &shard)).collect();
        remove(&built, &shard);
        if !with_file {
            for shard in 1..5 {
                let shard = built.trees.shard_path("vms/disk", shard);
                if built.path(0, &shard).exists() {
                    take(&built, 0, &shard);
                    take(&built, 1, &shard);
                }
            }
            take(&built, 0, "vms/disk");
            take(&built, 1, "vms/disk");
        }
        for (brick, handle) in handles.iter().enumerate() {
            let name = format!("be318638-e8a0-4c6d-977d-7a937aa84806/{id}.3").into_bytes();
            let xattrs =
                [("trusted.gfid", own.as_bytes().to_vec()), ("trusted.gfid2path.0123456789abcdef", name)];
            dump_of_handle(&built, brick, handle, &xattrs);
        }
        let findings = audit_as_it_is(&built);
        if with_file {
            let lost = only(&findings, |problem| matches!(problem, Problem::ShardNameLost { .. }));
            assert_eq!(lost.problem, Problem::ShardNameLost { file: id, shard: 3, bytes: 4096 });
            assert_eq!((lost.gfid, lost.severity()), (Some(own), Severity::AtRisk));
            comparing_it_is_no_hole(&built, id);
        } else {
            let left = only(&findings, |problem| matches!(problem, Problem::HandleLeft { .. }));
            assert_eq!((left.gfid, left.severity()), (Some(own), Severity::Harmless));
        }
    }
}

#[test]
fn what_is_left_of_link_files_is_harmless() {
    let mut built = distributed(2);
    built.trees.create_plain_file("vms/plain").unwrap();
    let from = holders(&built, "vms/plain")[0];
    let id = gfid(&built, from, "vms/plain");
    let left = handle(&built, from, "vms/plain");
    let target = built.trees.subvolume(1 - from);
    built.trees.make_linkto(from, "vms/plain", &target).unwrap();
    fs::remove_file(built.path(from, "vms/plain")).unwrap();
    let xattrs = [
        ("trusted.gfid", id.as_bytes().to_vec()),
        ("trusted.glusterfs.dht.linkto", format!("{target}\0").into_bytes()),
    ];
    dump_of_handle(&built, from, &left, &xattrs);
    let findings = audit_as_it_is(&built);
    let left = only(&findings, |problem| matches!(problem, Problem::HandleLeft { .. }));
    assert_eq!((left.severity(), left.gfid), (Severity::Harmless, Some(id)));
    assert_eq!(findings.len(), 1, "{findings:#?}");
}
