//! Volfiles and a log as GlusterFS 11.1 wrote them; only paths and credentials are replaced.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use stillpoint_shard::{Brick, Munging, Origin, ShardError, SubvolumeKind, Topology};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/volfiles").join(name)
}

fn load(name: &str) -> Topology {
    let topology = Topology::load(data(name), None).unwrap();
    assert_eq!(topology.origin, Origin::Volfile);
    for shown in [format!("{topology:?}"), topology.to_string(), serde_json::to_string(&topology).unwrap()] {
        assert!(!shown.contains("NEVER-SHOWN"), "{shown}");
    }
    topology
}

/// The names of the subvolumes, and of each the bricks' clients and paths.
fn sets(topology: &Topology) -> Vec<(&str, Vec<(&str, &str)>)> {
    fn brick(brick: &Brick) -> (&str, &str) {
        assert_eq!(brick.name.host.as_deref(), Some("siteA"));
        (brick.client.as_deref().unwrap(), brick.name.path.to_str().unwrap())
    }
    topology
        .subvolumes
        .iter()
        .map(|set| (set.name.as_str(), set.bricks.iter().map(brick).collect()))
        .collect()
}

#[test]
fn a_distributed_volume_has_its_bricks_for_subvolumes_and_its_expressions_are_taken_over() {
    let topology = load("dist.vol");
    assert_eq!((topology.volume.as_str(), topology.id, topology.munging), ("dist", None, Munging::Custom));
    assert!(topology.subvolumes.iter().all(|set| set.kind == SubvolumeKind::Single));
    let expected: Vec<_> = ["dist-client-0", "dist-client-1", "dist-client-2"]
        .into_iter()
        .zip(["/bricks/dist/0", "/bricks/dist/1", "/bricks/dist/2"])
        .map(|(client, path)| (client, vec![(client, path)]))
        .collect();
    assert_eq!(sets(&topology), expected);
}

/// `performance.parallel-readdir` puts a translator between DHT and its sets, and its names into link files.
#[test]
fn arbiters_are_known_and_sets_below_readdir_ahead_are_found() {
    let topology = load("arb.vol");
    assert_eq!(topology.id.unwrap().to_string(), "5075a5d5-9a7c-4ba7-8c49-96d9e2674504");
    let arbiters: Vec<_> = topology.bricks().map(|brick| brick.arbiter).collect();
    assert_eq!(arbiters, [false, false, true, false, false, true]);
    let names: Vec<_> = topology.subvolumes.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["arb-replicate-0", "arb-replicate-1"]);
    assert_eq!(topology.subvolume_named("arb-replicate-1"), Some(1));
    assert_eq!(topology.subvolume_named("arb-readdir-ahead-1"), Some(1));
    for unknown in ["arb-readdir-ahead-2", "arb-readdir-ahead-", "gv1-readdir-ahead-1", "arb-client-0", ""] {
        assert_eq!(topology.subvolume_named(unknown), None, "{unknown}");
    }
}

#[test]
fn dispersed_sets_tell_their_redundancy_and_order() {
    let topology = load("ddisp.vol");
    assert!(topology.subvolumes.iter().all(|set| set.kind == SubvolumeKind::Disperse { redundancy: 1 }));
    let [(first, bricks), (second, _)] = &sets(&topology)[..] else { panic!("{topology}") };
    assert_eq!((*first, *second), ("ddisp-disperse-0", "ddisp-disperse-1"));
    assert_eq!(bricks[2], ("ddisp-client-2", "/bricks/ddisp/2"));
}

/// Bricks 2 and 3 were removed and others added.
#[test]
fn renumbered_bricks_keep_afrs_names() {
    let topology = load("drep.vol");
    let clients: Vec<_> = topology.bricks().map(|brick| brick.client.as_deref().unwrap()).collect();
    assert_eq!(clients, [0, 1, 4, 5, 6, 7].map(|n| format!("drep-client-{n}")));
    assert_eq!(sets(&topology)[1].0, "drep-replicate-1");
    assert_eq!(topology.munging, Munging::Default);
}

#[test]
fn a_brick_that_is_being_removed_is_known_from_a_rebalances_volfile() {
    let leaving: Vec<_> = load("decom.vol").bricks().map(|brick| brick.decommissioned).collect();
    assert_eq!(leaving, [false, true, false]);
}

#[test]
fn a_thin_arbiter_is_no_brick() {
    let topology = load("dta.vol");
    let second = vec![("dta-client-3", "/bricks/ta/4"), ("dta-client-4", "/bricks/ta/5")];
    assert_eq!(sets(&topology)[1], ("dta-replicate-1", second));
    assert!(topology.bricks().all(|brick| !brick.arbiter));
}

#[test]
fn volfiles_of_others_than_clients_are_refused_by_what_they_are() {
    for (name, what) in [("brick.vol", "a brick's volfile"), ("gfproxy.vol", "a daemon's volfile")] {
        let error = Topology::load(data(name), None).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, ShardError::Spec { .. }) && text.contains(what) && text.contains(name),
            "{text}"
        );
        assert!(!text.contains("NEVER-SHOWN"));
    }
}

#[test]
fn the_last_whole_volfile_of_a_log_counts_unless_another_is_asked_for() {
    let log = std::fs::read(data("client.log")).unwrap();
    let back = |back| Topology::from_log(&log[..], Some("drep"), back);
    let bricks = |topology: &Topology| topology.bricks().count();
    let last = load("client.log");
    assert_eq!((bricks(&last), bricks(&back(0).unwrap()), bricks(&back(1).unwrap())), (8, 8, 6));
    assert_eq!(bricks(&back(2).unwrap()), 6);
    assert!(matches!(back(3), Err(ShardError::Spec { .. })));
    // The same bricks as the volfile tells that glusterd wrote at that time.
    assert_eq!(sets(&back(2).unwrap()), sets(&load("drep.vol")));
    assert!(matches!(
        Topology::load(data("client.log"), Some("gv1")),
        Err(ShardError::NoSuchVolume { have, .. }) if have == ["drep"]
    ));
    // One that was being written when the log was cut off does not count.
    let cut = &log[..log.len() * 9 / 10];
    let cut = &cut[..cut.iter().rposition(|&byte| byte == b'\n').unwrap()];
    let inside = String::from_utf8_lossy(cut);
    assert!(inside.rfind("Final graph:") > inside.rfind("+-----\n"), "it has to be cut within a volfile");
    assert_eq!(bricks(&Topology::from_log(cut, None, 0).unwrap()), 6);
}

#[test]
fn what_a_volfile_leaves_open_or_contradicts_is_refused() {
    let text = std::fs::read_to_string(data("arb.vol")).unwrap();
    for (from, to) in [
        ("option arbiter-count 1", "option arbiter-count 2"),
        ("option arbiter-count 1", "option arbiter-count x"),
        (
            "option afr-pending-xattr arb-client-0,arb-client-1,arb-client-2",
            "option afr-pending-xattr arb-client-0",
        ),
        (
            "    subvolumes arb-client-3 arb-client-4 arb-client-5",
            "    subvolumes arb-client-3 arb-client-4 arb-client-0",
        ),
        ("    subvolumes arb-client-3 arb-client-4 arb-client-5", "    subvolumes arb-replicate-0"),
        ("    subvolumes arb-readdir-ahead-0 arb-readdir-ahead-1\n", ""),
        ("type cluster/replicate", "type cluster/stripe"),
        ("type cluster/replicate", "type cluster/map"),
        ("type cluster/distribute", "type cluster/tier"),
        ("option remote-subvolume /bricks", "option remote-subvolume bricks"),
        ("    option remote-host siteA\n", ""),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(Topology::from_volfile(&text.replacen(from, to, 1), None).is_err(), "{from} -> {to}");
    }
    assert!(matches!(Topology::from_volfile(&text, Some("gv1")), Err(ShardError::NoSuchVolume { .. })));
}

/// As the NFS server had it: each volume with a DHT of its own.
#[test]
fn a_volfile_of_several_volumes_wants_to_know_which() {
    let mut text = std::fs::read_to_string(data("arb.vol")).unwrap();
    text.push_str(&std::fs::read_to_string(data("dist.vol")).unwrap());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let load = |volume| Topology::load(file.path(), volume);
    assert!(matches!(load(None), Err(ShardError::NoSuchVolume { have, .. }) if have == ["arb", "dist"]));
    assert_eq!(load(Some("dist")).unwrap().subvolumes.len(), 3);
}
