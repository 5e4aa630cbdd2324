//! Descriptions of volumes as a real glusterd writes them, against each other, and what real bricks alone tell.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::path::Path;
use std::time::Duration;

use stillpoint_lab::{Lab, LabConfig, Redundancy, Site, SiteName, VolumeConfig, VolumeLayout};
use stillpoint_shard::{BrickMap, Doubt, OpenOptions, Origin, ShardError, SubvolumeKind, Topology, Volume};
use stillpoint_storage::Storage;

/// A lab without guest and session, taken down at the end of the test.
struct Bench(Lab);

impl Bench {
    fn up(instance: &str) -> Self {
        let volume = |name: &str| VolumeConfig {
            name: name.to_owned(),
            layout: VolumeLayout { redundancy: Redundancy::None, subvolumes: 1 },
            shard_mib: Some(4),
            options: Vec::new(),
        };
        let config = LabConfig {
            guest: None,
            session: None,
            primary: volume("gv1"),
            secondary: volume("gv2"),
            ..LabConfig::named(instance)
        };
        // What an earlier test left that was killed.
        if stillpoint_lab::instances().unwrap().iter().any(|name| name == instance) {
            Lab::down(instance).unwrap();
        }
        Self(Lab::up(&config).unwrap())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.keep_logs(self.0.instance());
        }
        if let Err(error) = Lab::down(self.0.instance()) {
            eprintln!("the lab can't be taken down: {error}");
        }
    }
}

/// Makes a volume of that many bricks: `kind` is what `gluster volume create` takes before them.
fn create(site: &Site, name: &str, kind: &str, bricks: usize) {
    site.sh(&format!(
        "gluster --mode=script volume create {name} {kind} {} force",
        paths(site, name, 0..bricks)
    ))
    .unwrap();
}

/// Bricks of a volume as `gluster` takes them, their directories made.
fn paths(site: &Site, name: &str, numbers: std::ops::Range<usize>) -> String {
    let root = site.bricks_file_system().join(name);
    std::fs::create_dir_all(&root).unwrap();
    let brick = |number: usize| format!("siteA:{}/{number}", root.display());
    numbers.map(brick).collect::<Vec<_>>().join(" ")
}

/// The topology by glusterd's directory, which by the client's volfile and by the XML is the same.
fn same(site: &Site, name: &str) -> Topology {
    let vols = site.glusterd_dir().join("vols").join(name);
    let by_glusterd = Topology::from_glusterd_dir(&vols).unwrap();
    for file in [format!("{name}.tcp-fuse.vol"), format!("trusted-{name}.tcp-fuse.vol")] {
        let mut by_volfile = Topology::load(vols.join(file), Some(name)).unwrap();
        assert_eq!(by_volfile.origin, Origin::Volfile);
        // Only replica sets say which volume they are of.
        assert!(by_volfile.id.is_none_or(|id| Some(id) == by_glusterd.id));
        (by_volfile.origin, by_volfile.id) = (Origin::Glusterd, by_glusterd.id);
        assert_eq!(by_volfile, by_glusterd, "{name}");
    }
    let xml = site.gluster(["volume", "info", name, "--xml"]).unwrap();
    let by_xml = Topology::from_volume_info_xml(&xml, None).unwrap();
    let shape = |topology: &Topology| -> Vec<_> {
        let bricks = |set: &stillpoint_shard::Subvolume| -> Vec<_> {
            set.bricks.iter().map(|brick| (brick.name.clone(), brick.arbiter)).collect()
        };
        topology.subvolumes.iter().map(|set| (set.kind, bricks(set))).collect()
    };
    assert_eq!(shape(&by_xml), shape(&by_glusterd), "{name}");
    by_glusterd
}

fn clients(topology: &Topology) -> Vec<&str> {
    topology.bricks().map(|brick| brick.client.as_deref().unwrap()).collect()
}

#[test]
fn a_volume_is_the_same_by_glusterds_directory_a_volfile_the_xml_and_a_log() {
    let bench = Bench::up("shardtop");
    let site = bench.0.site(SiteName::A);
    let full = std::env::var_os("STILLPOINT_FULL").is_some_and(|value| value == "1");
    let sets = |topology: &Topology| (topology.subvolumes.len(), topology.subvolumes[0].kind);
    let kinds = [
        ("arb", "replica 2 arbiter 1", 6, (2, SubvolumeKind::Replicate)),
        ("ddisp", "disperse 6 redundancy 2", 12, (2, SubvolumeKind::Disperse { redundancy: 2 })),
        ("dist", "", 3, (3, SubvolumeKind::Single)),
        ("rep3", "replica 3", 3, (1, SubvolumeKind::Replicate)),
        ("thin", "replica 2 thin-arbiter 1", 5, (2, SubvolumeKind::Replicate)),
        ("disp", "disperse 3 redundancy 1", 3, (1, SubvolumeKind::Disperse { redundancy: 1 })),
    ];
    for (name, kind, bricks, expected) in kinds.into_iter().take(if full { 6 } else { 2 }) {
        create(site, name, kind, bricks);
        let topology = same(site, name);
        assert_eq!(sets(&topology), expected, "{name}");
        let arbiters = topology.bricks().filter(|brick| brick.arbiter).count();
        assert_eq!(arbiters, if name == "arb" { 2 } else { 0 });
    }
    let gluster = |command: String| site.sh(&format!("gluster --mode=script {command}")).unwrap();
    // DHT then stands on translators of other names.
    gluster("volume set arb performance.parallel-readdir on".to_owned());
    same(site, "arb");

    // Bricks 2 and 3 go, 4 and 5 come: the numbers of clients are no positions any more.
    create(site, "moved", "replica 2", 4);
    gluster("volume start moved".to_owned());
    let bricks = |numbers| paths(site, "moved", numbers);
    gluster(format!("volume add-brick moved replica 2 {} force", bricks(4..6)));
    gluster(format!("volume remove-brick moved replica 2 {} force", bricks(2..4)));
    let moved = same(site, "moved");
    assert_eq!(clients(&moved), [0, 1, 4, 5].map(|n| format!("moved-client-{n}")));

    if full {
        create(site, "leaving", "", 3);
        gluster("volume start leaving".to_owned());
        gluster(format!("volume remove-brick leaving {} start", paths(site, "leaving", 1..2)));
        let leaving: Vec<_> = same(site, "leaving").bricks().map(|brick| brick.decommissioned).collect();
        assert_eq!(leaving, [false, true, false]);
    }

    // A client writes every volfile that it gets into its log.
    let mount = "mkdir -p /mnt/moved && glusterfs -s siteA --volfile-id moved /mnt/moved";
    site.sh(mount).unwrap();
    gluster(format!("volume add-brick moved replica 2 {} force", bricks(6..8)));
    let log = site.log_dir().join("mnt-moved.log");
    let logged = |log: &Path| Topology::load(log, None).map(|topology| clients(&topology).len()).unwrap_or(0);
    for _ in 0..50 {
        if logged(&log) == 6 {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut by_log = Topology::load(&log, Some("moved")).unwrap();
    by_log.origin = Origin::Glusterd;
    assert_eq!(by_log, same(site, "moved"));
    let earlier = Topology::from_log(&std::fs::read(&log).unwrap()[..], None, 1).unwrap();
    assert_eq!(clients(&earlier), clients(&moved));
    site.sh("umount /mnt/moved").unwrap();
    let brick_log = site.log_dir().join("bricks").read_dir().unwrap().next().unwrap().unwrap().path();
    let error = Topology::load(brick_log, None).unwrap_err().to_string();
    assert!(error.contains("a brick's volfile"), "{error}");
}

/// A brick of a set with an arbiter is killed while a file is written, and not healed. Then only bricks are left.
#[test]
fn bricks_alone_tell_who_missed_writes_who_is_an_arbiter_and_what_was_not_given() {
    let bench = Bench::up("shardalone");
    let site = bench.0.site(SiteName::A);
    create(site, "vm", "replica 2 arbiter 1", 6);
    let pids = "/run/gluster/vols/vm";
    site.sh(&format!(
        "gluster --mode=script volume set vm features.shard on; gluster volume set vm features.shard-block-size 4MB
         gluster volume set vm cluster.self-heal-daemon off; gluster --mode=script volume start vm
         mkdir -p /mnt/vm && glusterfs -s siteA --volfile-id vm /mnt/vm
         dd if=/dev/urandom of=/mnt/vm/disk bs=1M count=33 conv=fsync 2>&1
         kill $(cat {pids}/*vm-0.pid) $(cat {pids}/*vm-4.pid) && sleep 3
         dd if=/dev/urandom of=/mnt/vm/disk bs=1M count=30 conv=notrunc,fsync 2>&1"
    ))
    .unwrap();
    let expected = std::fs::read(site.host_path("/mnt/vm/disk")).unwrap();
    // The counters are written a second after the data.
    std::thread::sleep(Duration::from_secs(3));
    let root = site.bricks_file_system().join("vm");
    let bricks = |numbers: &[usize]| numbers.iter().map(|n| root.join(n.to_string())).collect::<Vec<_>>();
    let read = |topology: Topology| -> std::io::Result<Vec<u8>> {
        let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default())?;
        let file = volume.open_file(&"disk".parse().unwrap())?;
        let mut bytes = vec![0xee; file.size() as usize];
        file.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    };
    let found = Topology::from_bricks(&bricks(&[5, 0, 3, 2, 4, 1])).unwrap();
    assert_eq!((found.volume.as_str(), found.subvolumes.len()), ("vm", 2));
    let arbiters: Vec<_> =
        found.bricks().filter(|brick| brick.arbiter).map(|brick| &brick.name.path).collect();
    assert_eq!(arbiters.len(), 2);
    assert!(arbiters.iter().all(|path| path.ends_with("2") || path.ends_with("5")), "{arbiters:?}");
    for brick in found.bricks() {
        let expected = match brick.name.path.to_string_lossy().chars().last() {
            Some('0') => Some("vm-client-0"),
            Some('4') => Some("vm-client-4"),
            _ => None,
        };
        assert_eq!(brick.client.as_deref(), expected, "{found:?}");
    }
    assert!(read(found).unwrap() == expected);
    // What is stale, and what is missing, is refused.
    for too_few in [&[0, 2, 3, 4, 5][..], &[0, 1, 2, 4, 5], &[0, 1, 2], &[3, 4, 5], &[2, 5]] {
        assert!(read(Topology::from_bricks(&bricks(too_few)).unwrap()).is_err(), "{too_few:?}");
    }
    let half = Topology::from_bricks(&bricks(&[0, 1, 2])).unwrap();
    assert!(
        half.doubts().iter().any(|doubt| matches!(doubt, Doubt::NotGiven { bricks: 3, of: 3, .. })),
        "{half}"
    );
    // And the same of copies without xattrs, beside what getfattr printed of them.
    let copies = tempfile::tempdir().unwrap();
    let to = copies.path().display();
    let copy = format!(
        "cd {} && for brick in *; do cp -dR --preserve=mode,links,timestamps $brick {to}/
         getfattr -d -m- -e hex -R $brick >{to}/$brick.getfattr; done",
        root.display()
    );
    site.sh(&copy).unwrap();
    let copied: Vec<_> = (0..6).map(|n| copies.path().join(n.to_string())).collect();
    let by_dump = Topology::from_bricks(&copied).unwrap();
    assert_eq!(by_dump.volume, "vm");
    assert!(read(by_dump).unwrap() == expected);
    // And with another volume's bricks among them.
    let mixed = [bricks(&[0, 1, 2, 3, 4, 5]), site.brick_dirs()].concat();
    assert!(
        matches!(Topology::from_bricks(&mixed), Err(ShardError::NoSuchVolume { have, .. }) if have.len() == 2)
    );
    assert!(read(Topology::from_bricks_of(&mixed, Some("vm")).unwrap()).unwrap() == expected);
    site.sh("umount /mnt/vm").unwrap();
}
