//! What is left on bricks that were away while something was deleted.

use stillpoint_shard::audit::{Problem, Severity};
use stillpoint_shard::{FileRef, OpenOptions, Remains, ShardError, Volume};

use super::super::support::{Built, bytes, pattern};
use super::{SHARD, audit, dispersed, gfid, holders, only, replicated, take};

/// Gives each copy of the disk its own name, as Gluster does.
fn name(built: &mut Built) {
    let parent = gfid(built, 0, "vms");
    for brick in holders(built, "vms/disk") {
        let value = format!("{parent}/disk");
        built
            .trees
            .set_xattr(brick, "vms/disk", "trusted.gfid2path.0123456789abcdef", value.as_bytes())
            .unwrap();
    }
}

/// Deletes the disk while brick 1 is away, its shards and the marker, too.
fn delete_without_one(built: &mut Built) {
    built.trees.set_up(1, false);
    built.trees.truncate("vms/disk", 0).unwrap();
    let id = built.trees.delete_base("vms/disk").unwrap();
    built.trees.remove_marker(id).unwrap();
    built.trees.set_up(1, true);
}

#[test]
fn shards_of_a_deleted_file_on_a_brick_that_was_away_are_no_orphans() {
    for mut built in [replicated(2), replicated(3), dispersed(3, 1)] {
        let id = gfid(&built, 1, "vms/disk");
        name(&mut built);
        delete_without_one(&mut built);
        let (findings, summary) = audit(&built);
        let brick = built.name(1);
        let name = only(
            &findings,
            |problem| matches!(problem, Problem::StaleName { bricks } if bricks[..] == [brick.clone()]),
        );
        assert_eq!(name.path, Some("vms/disk".into()), "{findings:#?}");
        let stale = only(&findings, |problem| matches!(problem, Problem::ShardsStale { .. }));
        assert_eq!(stale.problem, Problem::ShardsStale { shards: 4, bricks: vec![brick] });
        assert_eq!((stale.gfid, stale.severity()), (Some(id), Severity::Attention));
        assert_eq!(summary.worst(), Some(Severity::Attention), "{findings:#?}");
        // The handle that the brick has still is no file: its shards would read as zeros.
        let by_gfid = FileRef::Gfid(id);
        let volume = built.volume(&[]).unwrap();
        let dispersed = built.trees.is_dispersed();
        // Of fragments it takes more bricks to say that there is none.
        for error in [volume.open_file(&by_gfid).unwrap_err(), volume.entry(&by_gfid).unwrap_err()] {
            match error {
                ShardError::NotFound { .. } => {}
                ShardError::Unknown { .. } if dispersed => {}
                other => panic!("{other:?}"),
            }
        }
        // Nobody contradicts that brick where it is all there is.
        if built.trees.brick_count() == 2 {
            let file = built.volume(&[0]).unwrap().open_file(&by_gfid).unwrap();
            assert_eq!(bytes(&file).unwrap(), pattern(1, 5 * SHARD));
        }
    }
}

#[test]
fn shards_that_wait_to_be_deleted_are_told_as_such_though_a_brick_has_the_name_still() {
    for mut built in [replicated(2), dispersed(3, 1)] {
        name(&mut built);
        built.trees.set_up(1, false);
        let id = built.trees.delete_base("vms/disk").unwrap();
        built.trees.set_up(1, true);
        let left = built.volume(&[]).unwrap().open_file(&FileRef::Gfid(id)).unwrap();
        assert_eq!((left.remains(), left.size()), (Some(Remains::Deleted), 5 * SHARD as u64));
        let (findings, _) = audit(&built);
        let deleted = only(&findings, |problem| matches!(problem, Problem::Deleted { shards: 4, .. }));
        assert_eq!(deleted.gfid, Some(id), "{findings:#?}");
        only(&findings, |problem| matches!(problem, Problem::StaleName { .. }));
    }
}

#[test]
fn a_file_that_another_took_the_name_of_is_gone_with_its_shards() {
    let mut built = replicated(2);
    let id = gfid(&built, 1, "vms/disk");
    delete_without_one(&mut built);
    built.trees.set_up(1, false);
    built.trees.create_file("vms/disk").unwrap();
    built.trees.write("vms/disk", 0, &[7; 9000]).unwrap();
    built.trees.set_up(1, true);
    let (findings, summary) = audit(&built);
    let stale = only(&findings, |problem| matches!(problem, Problem::ShardsStale { shards: 4, .. }));
    assert_eq!((stale.gfid, summary.worst()), (Some(id), Some(Severity::Attention)), "{findings:#?}");
}

/// One brick lost the name, the other all of it: nobody says that the file was deleted, and what there is is read.
#[test]
fn a_handle_without_any_name_is_still_read_by_its_gfid() {
    let mut built = replicated(2);
    name(&mut built);
    let id = gfid(&built, 0, "vms/disk");
    built.trees.save().unwrap();
    let topology = built.topology();
    take(&built, 1, "vms/disk");
    std::fs::remove_file(built.path(0, "vms/disk")).unwrap();
    let volume = Volume::open(topology, &built.map(&[]), OpenOptions::default()).unwrap();
    let file = volume.open_file(&FileRef::Gfid(id)).unwrap();
    assert_eq!(bytes(&file).unwrap(), pattern(1, 5 * SHARD));
}
