//! Auditing volumes: whole ones, ones with each kind of damage, and ones made to mislead.

mod damaged;
mod hostile;
mod model;
mod nameless;
mod placed;
mod stale;
mod symlinks;
mod whole;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use stillpoint_shard::Volume;
use stillpoint_shard::audit::{AuditEvent, AuditFinding, AuditOptions, AuditSummary, Problem};
use stillpoint_testkit::volume::Shape;

use super::support::{Built, build, pattern};

const SHARD: usize = 4096;

/// Everything, with contents compared, two shards at a time.
fn options() -> AuditOptions {
    AuditOptions { compare: true, jobs: 2.try_into().unwrap() }
}

fn audit_of(volume: &Volume, path: &str) -> (Vec<AuditFinding>, AuditSummary) {
    let mut findings = Vec::new();
    let mut each = |event: AuditEvent<'_>| {
        if let AuditEvent::Finding(finding) = event {
            findings.push(finding.clone());
        }
        ControlFlow::Continue(())
    };
    let summary = volume.audit(&path.parse().unwrap(), &options(), &mut each).unwrap();
    (findings, summary)
}

fn audit(built: &Built) -> (Vec<AuditFinding>, AuditSummary) {
    audit_of(&built.volume(&[]).unwrap(), "/")
}

/// The one finding that is of this kind.
fn only(findings: &[AuditFinding], kind: impl Fn(&Problem) -> bool) -> &AuditFinding {
    let of_kind: Vec<_> = findings.iter().filter(|finding| kind(&finding.problem)).collect();
    assert_eq!(of_kind.len(), 1, "{findings:#?}");
    of_kind[0]
}

/// A volume with a directory, and in it a disk of five shards.
fn with_disk(shape: Shape) -> Built {
    let mut built = build(Shape { shard_size: SHARD as u64, ..shape });
    built.trees.create_directory("vms").unwrap();
    built.trees.create_file("vms/disk").unwrap();
    built.trees.write("vms/disk", 0, &pattern(1, 5 * SHARD)).unwrap();
    built
}

fn distributed(subvolumes: usize) -> Built {
    with_disk(Shape { subvolumes, ..Shape::default() })
}

fn replicated(replicas: usize) -> Built {
    with_disk(Shape { replicas, ..Shape::default() })
}

fn dispersed(replicas: usize, redundancy: usize) -> Built {
    with_disk(Shape { replicas, redundancy, ..Shape::default() })
}

/// The bricks that have something at a path.
fn holders(built: &Built, path: &str) -> Vec<usize> {
    (0..built.trees.brick_count()).filter(|&brick| built.path(brick, path).exists()).collect()
}

fn gfid(built: &Built, brick: usize, path: &str) -> uuid::Uuid {
    let value = built.trees.xattr(brick, path, "trusted.gfid").unwrap().unwrap();
    uuid::Uuid::from_slice(&value).unwrap()
}

/// Where a file's handle is on a brick.
fn handle(built: &Built, brick: usize, path: &str) -> PathBuf {
    let name = gfid(built, brick, path).to_string();
    built.trees.brick(brick).join(".glusterfs").join(&name[..2]).join(&name[2..4]).join(name)
}

/// Takes a file and its handle from a brick.
fn take(built: &Built, brick: usize, path: &str) {
    std::fs::remove_file(handle(built, brick, path)).unwrap();
    std::fs::remove_file(built.path(brick, path)).unwrap();
}

fn set_len(path: &Path, len: u64) {
    std::fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}
