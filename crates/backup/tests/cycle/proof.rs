//! What is wrong at the far side is found, and named.

use std::fs;
use std::os::unix::fs::FileExt as _;

use stillpoint_backup::proof::{FileDifference, ShardDifferenceKind};
use stillpoint_backup::{Cancel, Outcome, RunReport, VerifyOptions, verify};
use stillpoint_sim::replication::Behaviour;

use crate::world::{SHARD, World};

/// A run at whose far side something happens right before the proof.
fn run_with_damage(world: &World, damage: impl Fn(&World) + Sync) -> RunReport {
    world
        .run(&world.config(), &|record| {
            if record.entry.name() == "run.proof-began" {
                damage(world);
            }
        })
        .expect("it began")
}

/// The shards of the first disk that a failed run names.
fn named(world: &World, report: &RunReport) -> Vec<(u64, ShardDifferenceKind)> {
    assert_eq!(report.outcome, Outcome::Failed);
    world.ensure_clean();
    let proof = report.proof.as_ref().expect("a proof");
    assert!(!proof.holds);
    let [difference] = &proof.differences[..] else { panic!("{proof:?}") };
    assert_eq!(difference.path, world.disks[0].name);
    for shard in &difference.shards {
        let said = report.failures.iter().any(|failure| failure.what.contains(&shard.name));
        assert!(said, "{} isn't named in {:?}", shard.name, report.failures);
        assert!(shard.secondary.stored.is_none() || !shard.secondary_places.is_empty(), "{shard:?}");
        assert!(shard.primary_places.iter().filter(|place| place.digested).count() <= 1);
    }
    difference.shards.iter().map(|shard| (shard.index, shard.kind)).collect()
}

fn file(path: &std::path::Path) -> fs::File {
    fs::File::options().read(true).write(true).open(path).expect("a shard")
}

#[test]
fn a_flipped_bit_in_any_shard_fails_the_run_by_name() {
    for index in [0, 1, 6] {
        let world = World::new(&[("vm1", 1)]);
        let report = run_with_damage(&world, |world| {
            let shard = file(&world.far_shard(&world.disks[0], index));
            let mut byte = [0];
            shard.read_exact_at(&mut byte, 500).expect("a byte");
            shard.write_all_at(&[byte[0] ^ 1], 500).expect("a byte");
        });
        assert_eq!(named(&world, &report), [(index, ShardDifferenceKind::Different)]);
    }
}

#[test]
fn swapped_shards_fail_the_run_by_both_names() {
    let world = World::new(&[("vm1", 1)]);
    let report = run_with_damage(&world, |world| {
        let paths = [1, 4].map(|index| world.far_shard(&world.disks[0], index));
        let [one, other] = paths.each_ref().map(|path| fs::read(path).expect("a shard"));
        fs::write(&paths[0], other).expect("written");
        fs::write(&paths[1], one).expect("written");
    });
    assert_eq!(
        named(&world, &report),
        [(1, ShardDifferenceKind::Different), (4, ShardDifferenceKind::Different)]
    );
}

#[test]
fn an_emptied_a_shortened_and_a_grown_shard_fail_the_run_each_in_its_way() {
    let world = World::new(&[("vm1", 1)]);
    let report = run_with_damage(&world, |world| {
        file(&world.far_shard(&world.disks[0], 1)).set_len(0).expect("cut");
        file(&world.far_shard(&world.disks[0], 2)).set_len(SHARD / 2).expect("cut");
        // The last shard isn't whole: what is past the file's end is no part of it.
        file(&world.far_shard(&world.disks[0], 6)).write_all_at(b"past the end", 2000).expect("written");
    });
    assert_eq!(named(&world, &report), [(1, ShardDifferenceKind::Empty), (2, ShardDifferenceKind::Short)]);
}

#[test]
fn rsyncs_silent_no_op_fails_the_run_although_gluster_reports_complete() {
    let world = World::new(&[("vm1", 1)]);
    assert_eq!(world.run(&world.config(), &|_| {}).expect("it began").outcome, Outcome::Proven);
    for _ in 0..30 {
        world.guests_write();
    }
    world.session.behave(Behaviour::SilentNoOp);
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    let verdict = report.verdict.as_ref().expect("a verdict");
    assert!(verdict.gluster_says_complete && !verdict.believable());
    assert!(!named(&world, &report).is_empty());
}

#[test]
fn what_never_arrived_is_missing_by_name() {
    let world = World::new(&[("vm1", 1)]);
    world.session.behave(Behaviour::SilentNoOp);
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    world.ensure_clean();
    let proof = report.proof.expect("a proof");
    // The far side has the empty file that the world begins with.
    let [difference] = &proof.differences[..] else { panic!("{proof:?}") };
    assert!(matches!(difference.file[..], [FileDifference::Size { secondary: 0, .. }]));
    // All but the empty one.
    assert_eq!(difference.differing_shards, 6);
    assert!(difference.shards[1..].iter().all(|shard| shard.kind == ShardDifferenceKind::Missing));
}

#[test]
fn a_proof_that_holds_does_not_excuse_a_log_that_names_a_shard_of_the_point() {
    let world = World::new(&[("vm1", 1)]);
    let gfid = world.secondary.lock().expect("free").shard_path(&world.disks[0].name, 1);
    let gfid = gfid.trim_start_matches(".shard/").trim_end_matches(".1").parse().expect("a gfid");
    world.session.behave(Behaviour::EntryFailed { gfid });
    let report = world.run(&world.config(), &|_| {}).expect("it began");
    assert!(report.proof.as_ref().expect("a proof").holds);
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(
        report.failures.iter().any(|failure| failure.what.contains("ENTRY FAILED")),
        "{:?}",
        report.failures
    );
    world.ensure_clean();
}

#[test]
fn verify_compares_without_a_run() {
    let world = World::new(&[("vm1", 1)]);
    world.run(&world.config(), &|_| {}).expect("it began");
    let config = world.config();
    let disk = &world.disks[0];
    let proof = |path: &str| {
        verify(&config.primary, &config.secondary, path, &VerifyOptions::default(), &Cancel::new(), &|_| {})
    };
    // The commit brought the primary's base on, on the mount; the bricks of this world learn of it at the next flush.
    assert!(proof(&disk.name).expect("readable").holds);
    file(&world.far_shard(disk, 2)).write_all_at(b"tampered", 9).expect("written");
    let found = proof(&disk.name).expect("readable");
    assert_eq!(found.differences[0].shards[0].index, 2);
    assert!(
        found.differences[0].shards[0].secondary_places[0]
            .path
            .ends_with(world.far_shard(disk, 2).file_name().expect("a name"))
    );
    assert!(proof("not-there.img").is_err());
}
