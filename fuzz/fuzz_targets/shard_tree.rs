//! A volume's brick trees, damaged in any way: no panic, no hang, nothing read from outside of the bricks.
#![no_main]

use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_shard::audit::{AuditEvent, AuditOptions};
use stillpoint_shard::{
    BrickMap, FileOptions, FileRef, OpenOptions, SizeChoice, SplitBrainChoice, Topology, Volume,
};
use stillpoint_storage::{ExtentKind, Storage, extents};
use stillpoint_testkit::volume::{BrickTrees, Change, KeptIn, Shape};

const SECRET: &[u8] = b"what lies outside of the bricks";

#[derive(Debug, Arbitrary)]
struct Plan {
    subvolumes: u8,
    replicas: u8,
    rotation: u8,
    size: u16,
    written: Vec<(u8, u8)>,
    damages: Vec<(u8, Target, Damage)>,
    missing: u8,
    by: Description,
}

#[derive(Debug, Arbitrary)]
enum Description {
    Glusterd,
    Xml,
    Bricks,
    Volfile,
}

#[derive(Debug, Arbitrary)]
enum Target {
    Root,
    ShardDirectory,
    Directory,
    Shard(u8),
    Handle,
    HandleDirectory,
}

#[derive(Debug, Arbitrary)]
enum Damage {
    Xattr(Name, Vec<u8>),
    NoXattr(Name),
    Blame(u8, Kind, u32),
    Remove,
    LinkOut,
    LinkBeside,
    Directory,
    Pipe,
    Content(Vec<u8>),
    Mode(u16),
    Linkto(Vec<u8>),
    Stray(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Data,
    Metadata,
    Entry,
}

#[derive(Debug, Arbitrary)]
enum Name {
    Gfid,
    VolumeId,
    BlockSize,
    FileSize,
    Dht,
    Linkto,
    Dirty,
    Client(u8),
    FragmentVersion,
    FragmentSize,
    FragmentConfig,
    FragmentDirty,
}

impl Name {
    fn text(&self) -> String {
        match self {
            Self::Gfid => "trusted.gfid".to_owned(),
            Self::VolumeId => "trusted.glusterfs.volume-id".to_owned(),
            Self::BlockSize => "trusted.glusterfs.shard.block-size".to_owned(),
            Self::FileSize => "trusted.glusterfs.shard.file-size".to_owned(),
            Self::Dht => "trusted.glusterfs.dht".to_owned(),
            Self::Linkto => "trusted.glusterfs.dht.linkto".to_owned(),
            Self::Dirty => "trusted.afr.dirty".to_owned(),
            Self::FragmentVersion => "trusted.ec.version".to_owned(),
            Self::FragmentSize => "trusted.ec.size".to_owned(),
            Self::FragmentConfig => "trusted.ec.config".to_owned(),
            Self::FragmentDirty => "trusted.ec.dirty".to_owned(),
            Self::Client(n) => format!("trusted.afr.gv1-client-{}", n % 9),
        }
    }
}

/// Applies one damage. What can't be done, as the target is no longer what it was, is left out.
fn damage(volume: &mut BrickTrees, outside: &Path, brick: usize, target: &Target, damage: &Damage) {
    let gfid = "6f1d0000-0000-4000-8000-000000000002";
    let path = match target {
        Target::Root => String::new(),
        Target::ShardDirectory => ".shard".to_owned(),
        Target::Directory => "vms".to_owned(),
        Target::Shard(index) => volume.shard_path("vms/disk", u64::from(index % 12)),
        Target::Handle => format!(".glusterfs/6f/1d/{gfid}"),
        Target::HandleDirectory => ".glusterfs/6f/1d".to_owned(),
    };
    let full = volume.brick(brick).join(&path);
    let clear = || {
        // Never through a link: what is there is removed, not what it leads to.
        let is_directory = full.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        let _ = if is_directory { std::fs::remove_dir_all(&full) } else { std::fs::remove_file(&full) };
    };
    let is_file = full.symlink_metadata().is_ok_and(|meta| meta.is_file());
    match damage {
        Damage::Xattr(name, value) => drop(volume.set_xattr(brick, &path, &name.text(), value)),
        Damage::NoXattr(name) => drop(volume.remove_xattr(brick, &path, &name.text())),
        Damage::Blame(about, kind, count) => {
            let about = usize::from(*about) % volume.brick_count();
            let change = match kind {
                Kind::Data => Change::Data,
                Kind::Metadata => Change::Metadata,
                Kind::Entry => Change::Entry,
            };
            drop(volume.set_blame(brick, about, &path, change, *count));
        }
        _ if path.is_empty() => {}
        Damage::Remove => clear(),
        Damage::LinkOut => {
            clear();
            let inside = matches!(target, Target::Shard(_) | Target::Handle);
            let _ = symlink(if inside { outside.join("secret") } else { outside.to_owned() }, &full);
        }
        Damage::LinkBeside => {
            clear();
            let _ = symlink("../../outside/secret", &full);
        }
        Damage::Directory => {
            clear();
            let _ = std::fs::create_dir(&full);
        }
        Damage::Pipe => {
            clear();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let _ = rustix::fs::mkfifoat(rustix::fs::CWD, &full, mode);
        }
        Damage::Content(bytes) if is_file => drop(std::fs::write(&full, bytes)),
        Damage::Mode(mode) if is_file => {
            let permissions = std::fs::Permissions::from_mode(u32::from(*mode) & 0o7777);
            let _ = std::fs::set_permissions(&full, permissions);
        }
        Damage::Linkto(target) if is_file => {
            let _ = volume.make_linkto(brick, &path, &String::from_utf8_lossy(target));
        }
        Damage::Stray(name) => {
            let name: String =
                String::from_utf8_lossy(name).chars().filter(|c| !"/\0".contains(*c)).take(40).collect();
            let _ = volume.stray_shard(brick, &format!("{gfid}.{name}"), b"stray");
        }
        Damage::Content(_) | Damage::Mode(_) | Damage::Linkto(_) => {}
    }
}

fuzz_target!(|plan: Plan| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("there is memory");
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).expect("the directory is ours");
    std::fs::write(outside.join("secret"), SECRET).expect("the directory is ours");
    // Copies, an arbiter, fragments.
    let (replicas, arbiter, redundancy, shard_size) = match plan.replicas % 6 {
        copies @ 0..3 => (usize::from(copies) + 1, false, 0, 512),
        3 => (3, true, 0, 512),
        4 => (3, false, 1, 1024),
        _ => (6, false, 2, 2048),
    };
    let shape = Shape {
        subvolumes: usize::from(plan.subvolumes % 3) + 1,
        replicas,
        redundancy,
        arbiter,
        rotation: usize::from(plan.rotation),
        shard_size,
        kept_in: KeptIn::Dump,
        ..Shape::default()
    };
    let mut volume = BrickTrees::create(dir.path(), shape).expect("the directory is ours");
    volume.create_directory("vms").expect("the parent exists");
    volume.create_file("vms/disk").expect("all bricks are up");
    volume.truncate("vms/disk", u64::from(plan.size % 6000)).expect("all bricks are up");
    for (index, fill) in plan.written.iter().take(12) {
        let bytes = vec![*fill; 300];
        volume.write("vms/disk", u64::from(index % 12) * 512, &bytes).expect("all bricks are up");
    }
    volume.write_glusterd_directory(&dir.path().join("glusterd")).expect("the directory is ours");
    for (brick, target, what) in plan.damages.iter().take(16) {
        let brick = usize::from(*brick) % volume.brick_count();
        damage(&mut volume, &outside, brick, target, what);
    }
    volume.save().expect("the directory is ours");
    let bricks: Vec<_> = (0..volume.brick_count()).map(|brick| volume.brick(brick)).collect();
    let topology = match plan.by {
        Description::Glusterd => Topology::from_glusterd_dir(dir.path().join("glusterd")),
        Description::Xml => Topology::from_volume_info_xml(&volume.volume_info_xml(), None),
        Description::Bricks => Topology::from_bricks(&bricks),
        Description::Volfile => Topology::from_volfile(&volume.client_volfile(), None),
    };
    let Ok(topology) = topology else { return };
    let _ = topology.doubts();
    let gone = usize::from(plan.missing) % (bricks.len() + 1);
    let map = topology
        .bricks()
        .nth(gone)
        .map_or_else(BrickMap::default, |brick| BrickMap::default().without(brick.name.clone()));
    // How it is read follows from what the size is cut to leave.
    let how = plan.size / 6000;
    let split_brain = if how & 1 == 0 {
        Vec::new()
    } else {
        vec![SplitBrainChoice::BiggerFile, SplitBrainChoice::LatestMtime]
    };
    let options =
        OpenOptions { max_open_shards: 1, split_brain, compare: how & 2 > 0, ..OpenOptions::default() };
    let Ok(opened) = Volume::open(topology, &map, options) else { return };
    // The bricks hold a directory and a file; what was put there besides is not more than what was damaged.
    let walked = opened.walk("/").expect("the root is a path").take(1000);
    assert!(walked.map(|entry| entry.map(|entry| opened.entry(&FileRef::Path(entry.path)))).count() < 100);
    let compared = AuditOptions { compare: true, ..AuditOptions::default() };
    let mut told = 0;
    let audited = opened.audit(&FileRef::Path("/".into()), &compared, &mut |event| {
        if let AuditEvent::Finding(finding) = event {
            let json = serde_json::to_string(finding).expect("it can be encoded");
            let text = format!("{finding} {} {} {json}", finding.problem.meaning(), finding.problem.advice());
            assert!(!text.is_empty() && finding.severity() == finding.problem.severity());
            told += 1;
        }
        ControlFlow::Continue(())
    });
    if let Ok(summary) = audited {
        let findings = summary.findings;
        let counted = findings.harmless + findings.attention + findings.at_risk + findings.lost;
        assert!(counted == told && told < 10_000 && !summary.interrupted);
    }
    let left = opened.left_over().unwrap_or_default();
    assert!(left.len() < 100);
    for name in ["vms/disk", "vms"] {
        let entry = opened.entry(&FileRef::Path(name.into()));
        if let Some(gfid) = entry.ok().and_then(|entry| entry.gfid) {
            assert!(
                opened.names_of(gfid).is_ok_and(|named| named.paths.len() < 100) || !plan.damages.is_empty()
            );
        }
    }
    let names = left.iter().map(|left| FileRef::Gfid(left.gfid));
    let own = ["vms/disk", "gfid:6f1d0000-0000-4000-8000-000000000002"];
    for name in own.into_iter().map(|name| name.parse().expect("it is one")).chain(names) {
        let size = (how & 4 > 0).then_some(SizeChoice::LastShard);
        let Ok(file) = opened.open_file_with(&name, &FileOptions { size, shard_size: None }) else {
            continue;
        };
        let _ = file.allocated();
        let mut at = 0;
        for extent in extents(&file).take(64) {
            let Ok(extent) = extent else { break };
            assert_eq!(extent.offset, at);
            at = extent.end();
            assert!(at <= file.len());
            let mut bytes = vec![0xee; extent.len.min(4096) as usize];
            let read = file.read_exact_at(extent.offset, &mut bytes);
            match extent.kind {
                ExtentKind::Hole => assert!(read.is_ok() && bytes.iter().all(|&byte| byte == 0)),
                ExtentKind::Unknown => assert!(read.is_err()),
                ExtentKind::Data => {}
            }
            assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET));
            let _ = file.locate(extent.offset).map(|located| serde_json::to_string(&located));
        }
        let _ = file.findings();
    }
});
