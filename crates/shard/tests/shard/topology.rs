//! Topologies from every description, of the same volume.

use stillpoint_shard::{
    BrickMap, BrickName, Munging, OpenOptions, Origin, ShardError, SubvolumeKind, Topology, Volume,
};
use stillpoint_testkit::volume::Shape;

use super::support::{Built, build, bytes, pattern};

const SHARD: usize = 4096;

fn written(shape: Shape) -> (Built, Vec<u8>) {
    let mut built = build(Shape { shard_size: SHARD as u64, ..shape });
    let model = pattern(1, 9 * SHARD);
    built.trees.create_file("disk").unwrap();
    built.trees.write("disk", 0, &model).unwrap();
    built.trees.save().unwrap();
    (built, model)
}

#[test]
fn every_description_leads_to_the_same_bytes() {
    for (subvolumes, replicas, arbiter) in
        [(1, 1, false), (3, 1, false), (1, 3, true), (2, 2, false), (2, 3, true)]
    {
        let (built, model) = written(Shape { subvolumes, replicas, arbiter, ..Shape::default() });
        let xml = built.dir.path().join("info.xml");
        std::fs::write(&xml, built.trees.volume_info_xml()).unwrap();
        let mut bricks: Vec<_> =
            (0..built.trees.brick_count()).map(|brick| built.trees.brick(brick)).collect();
        bricks.reverse();
        let volfile = built.dir.path().join("gv1.tcp-fuse.vol");
        std::fs::write(&volfile, built.trees.client_volfile()).unwrap();
        let mut by_volfile = Topology::load(&volfile, None).unwrap();
        let topologies = [
            built.topology(),
            Topology::load(&xml, None).unwrap(),
            by_volfile.clone(),
            Topology::from_bricks(&bricks).unwrap(),
        ];
        // It says all that glusterd's directory does, but for the id of a volume that is only distributed.
        assert_eq!(by_volfile.id.is_some(), replicas > 1);
        (by_volfile.id, by_volfile.origin) = (topologies[0].id, Origin::Glusterd);
        assert_eq!(by_volfile, topologies[0]);
        for topology in topologies {
            assert_eq!(topology.subvolumes.len(), subvolumes, "{topology}");
            assert!(topology.subvolumes.iter().all(|set| set.bricks.len() == replicas), "{topology}");
            let volume =
                Volume::open(topology.clone(), &BrickMap::default(), OpenOptions::default()).unwrap();
            assert!(volume.missing_bricks().is_empty());
            let file = volume.open_file(&"disk".parse().unwrap()).unwrap();
            assert_eq!(bytes(&file).unwrap(), model, "{topology}");
        }
    }
}

#[test]
fn glusterds_directory_tells_everything_but_credentials() {
    let shape = Shape {
        subvolumes: 2,
        replicas: 3,
        arbiter: true,
        client_numbers: vec![0, 1, 7, 2, 3, 8],
        ..Shape::default()
    };
    let (built, _) = written(shape);
    let topology = built.topology();
    assert_eq!((topology.volume.as_str(), topology.id), ("gv1", Some(built.trees.id())));
    assert_eq!((topology.origin, topology.munging), (Origin::Glusterd, Munging::Default));
    assert!(topology.subvolumes.iter().all(|set| set.kind == SubvolumeKind::Replicate));
    let clients: Vec<_> = topology.bricks().map(|brick| brick.client.as_deref().unwrap()).collect();
    assert_eq!(clients, [0, 1, 7, 2, 3, 8].map(|n| format!("gv1-client-{n}")));
    assert_eq!(
        topology.bricks().map(|brick| brick.arbiter).collect::<Vec<_>>(),
        [false, false, true].repeat(2)
    );
    for shown in [format!("{topology:?}"), topology.to_string(), serde_json::to_string(&topology).unwrap()] {
        assert!(!shown.contains("NEVER-SHOWN"), "{shown}");
        assert!(shown.contains("gv1-replicate-1"), "{shown}");
    }
}

#[test]
fn descriptions_are_told_apart_by_content_and_the_rest_is_refused() {
    let (built, _) = written(Shape::default());
    let path = |name: &str| built.dir.path().join(name);
    built.topology();
    // glusterd's own directory, with a volume's name.
    std::fs::create_dir(path("all")).unwrap();
    std::fs::create_dir(path("all/vols")).unwrap();
    built.trees.write_glusterd_directory(&path("all/vols/gv1")).unwrap();
    assert_eq!(Topology::load(path("all"), Some("gv1")).unwrap().volume, "gv1");
    for bad in [None, Some("gv2"), Some("../vols/gv1"), Some("")] {
        assert!(Topology::load(path("all"), bad).is_err(), "{bad:?}");
    }
    assert!(matches!(Topology::load(path("glusterd"), Some("gv2")), Err(ShardError::NoSuchVolume { .. })));
    std::fs::write(path("volfile"), "volume gv1-client-0\n    type protocol/client\nend-volume\n").unwrap();
    std::fs::write(path("empty"), "\n").unwrap();
    std::fs::write(path("text"), "Connection failed. Please check if gluster daemon is operational.\n")
        .unwrap();
    std::fs::write(path("binary"), [0xff, 0xfe, 0]).unwrap();
    for bad in ["volfile", "text", "binary", "empty", "b0", "all/vols", "none"] {
        assert!(Topology::load(path(bad), None).is_err(), "{bad}");
    }
    let xml = built.trees.volume_info_xml();
    assert!(matches!(
        Topology::from_volume_info_xml(&xml, Some("gv2")),
        Err(ShardError::NoSuchVolume { .. })
    ));
    let dispersed = xml.replace("<type>0<", "<type>4<").replace("<disperseCount>0<", "<disperseCount>1<");
    let topology = Topology::from_volume_info_xml(&dispersed, None).unwrap();
    let refused = Volume::open(topology, &BrickMap::default(), OpenOptions::default()).unwrap_err();
    assert!(
        matches!(refused, ShardError::Unsupported { .. }) && refused.to_string().contains("gv1"),
        "{refused}"
    );
}

#[test]
fn a_brick_file_outside_of_its_directory_is_not_read() {
    let (built, _) = written(Shape::default());
    built.topology();
    let info = built.dir.path().join("glusterd/info");
    let text = std::fs::read_to_string(&info).unwrap();
    let at = text.find("brick-0=").unwrap();
    std::fs::write(&info, format!("{}brick-0=../../../etc/passwd\n", &text[..at])).unwrap();
    assert!(Topology::load(built.dir.path().join("glusterd"), None).is_err());
}

#[test]
fn bricks_are_found_at_their_paths_or_where_they_are_mapped_to() {
    let (built, model) = written(Shape { replicas: 2, ..Shape::default() });
    let topology = built.topology();
    let copy = built.dir.path().join("copy");
    std::fs::rename(built.trees.brick(1), &copy).unwrap();
    std::fs::rename(built.dir.path().join("b1.getfattr"), built.dir.path().join("copy.getfattr")).unwrap();
    let open = |map: BrickMap| Volume::open(topology.clone(), &map, OpenOptions::default());
    let found = |map: BrickMap| open(map).unwrap().bricks().len();
    assert_eq!(found(BrickMap::default()), 1);
    assert_eq!(found(BrickMap::default().at(built.name(1), &copy)), 2);
    assert_eq!(found(BrickMap::default().only_mapped().at(built.name(1), &copy)), 1);
    let map = BrickMap::default().without(built.name(0)).at(built.name(1), &copy);
    let file = open(map).unwrap().open_file(&"disk".parse().unwrap()).unwrap();
    assert_eq!(bytes(&file).unwrap(), model);
    let dump =
        BrickMap::default().with_xattr_dump(built.name(1), &copy, built.dir.path().join("copy.getfattr"));
    assert_eq!(found(dump), 2);

    let refused = |map: BrickMap| open(map).unwrap_err().to_string();
    let twice = BrickMap::default().at(built.name(1), &copy).at(built.name(0), &copy);
    assert!(refused(twice).contains("it is given as"));
    assert!(refused(BrickMap::default().at(built.name(0), built.dir.path())).contains("not a brick"));
    assert!(refused(BrickMap::default().at(BrickName::new("siteA", "/x"), &copy)).contains("no such brick"));
    assert!(refused(BrickMap::default().only_mapped()).contains("siteA:"));
}

#[test]
fn a_brick_of_another_volume_at_the_path_is_missing_and_where_mapped_an_error() {
    let (built, _) = written(Shape { replicas: 2, ..Shape::default() });
    let mut topology = built.topology();
    topology.id = Some("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0".parse().unwrap());
    let open = |map: BrickMap| Volume::open(topology.clone(), &map, OpenOptions::default()).unwrap_err();
    let error = open(BrickMap::default());
    assert!(matches!(&error, ShardError::NoBricks { missing, .. } if missing.len() == 2), "{error}");
    assert!(matches!(
        open(BrickMap::default().at(built.name(0), built.trees.brick(0))),
        ShardError::NotABrick { .. }
    ));
}

#[test]
fn bricks_that_share_a_path_on_two_hosts_are_missing_until_mapped() {
    let (built, _) = written(Shape { replicas: 2, ..Shape::default() });
    let mut topology = built.topology();
    let path = built.trees.brick(0).to_owned();
    topology.subvolumes[0].bricks[1].name = BrickName::new("siteB", &path);
    let open = |map: BrickMap| Volume::open(topology.clone(), &map, OpenOptions::default());
    assert!(matches!(open(BrickMap::default()), Err(ShardError::NoBricks { .. })));
    let one = open(BrickMap::default().at(BrickName::new("siteB", &path), &path)).unwrap();
    let names: Vec<_> = one.bricks().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, [format!("siteB:{}", path.display())]);
}

#[test]
fn from_bricks_alone_what_was_left_out_is_not_taken_for_zeros() {
    let (built, model) = written(Shape { subvolumes: 2, replicas: 2, ..Shape::default() });
    let brick = |number: usize| built.trees.brick(number);
    let open = |bricks: &[&std::path::Path]| {
        let topology = Topology::from_bricks(bricks).unwrap();
        Volume::open(topology, &BrickMap::default(), OpenOptions::default())?
            .open_file(&"disk".parse().unwrap())
    };
    assert_eq!(bytes(&open(&[brick(1), brick(2)]).unwrap()).unwrap(), model);
    for half in [[brick(0), brick(1)], [brick(2), brick(3)]] {
        match open(&half) {
            Ok(file) => assert!(bytes(&file).unwrap_err().to_string().contains("hashes")),
            Err(error) => assert!(matches!(error, ShardError::Unknown { .. }), "{error}"),
        }
    }
    assert!(matches!(Topology::from_bricks(&[built.dir.path()]), Err(ShardError::NotABrick { .. })));
    assert!(Topology::from_bricks::<&str>(&[]).is_err());
}

#[test]
fn from_an_arbiter_brick_alone_no_zeros_are_read() {
    let (built, model) = written(Shape { replicas: 3, arbiter: true, ..Shape::default() });
    let open = |bricks: &[&std::path::Path]| {
        let topology = Topology::from_bricks(bricks).unwrap();
        let volume = Volume::open(topology, &BrickMap::default(), OpenOptions::default()).unwrap();
        bytes(&volume.open_file(&"disk".parse().unwrap()).unwrap())
    };
    assert_eq!(open(&[built.trees.brick(2), built.trees.brick(0)]).unwrap(), model);
    assert!(open(&[built.trees.brick(2)]).unwrap_err().to_string().contains("arbiter"));
}
