//! Whether an overlay adds anything to its base.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stillpoint_backup::ImageComparison;
use stillpoint_testkit::image::{ClusterSpec, ImageBuilder};
use stillpoint_virt::{Comparison, OfflineCommit, OverlayComparison, QemuImg};

const CLUSTER: u64 = 65536;

struct Images {
    directory: tempfile::TempDir,
}

impl Images {
    /// A base whose second cluster is sevens, and an overlay with these clusters of its own.
    fn new(overlay: &[(u64, ClusterSpec)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = ImageBuilder::v3().size(1 << 20).cluster(1, data(7));
        fs::write(directory.path().join("base.qcow2"), base.build()).unwrap();
        let mut top = ImageBuilder::v3().size(1 << 20).backing(b"base.qcow2", Some("qcow2"));
        for (cluster, spec) in overlay {
            top = top.cluster(*cluster, spec.clone());
        }
        fs::write(directory.path().join("overlay.qcow2"), top.build()).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn compared(&self) -> Comparison {
        self.with(&self.path("base.qcow2")).unwrap()
    }

    fn with(&self, base: &Path) -> Result<Comparison, String> {
        let comparison = ImageComparison::new(self.directory.path());
        comparison.compare(&self.path("overlay.qcow2"), base).map_err(|error| error.to_string())
    }
}

fn data(byte: u8) -> ClusterSpec {
    ClusterSpec::Data(vec![byte; CLUSTER as usize])
}

#[test]
fn an_overlay_adds_nothing_when_all_that_it_holds_is_in_the_base() {
    assert_eq!(Images::new(&[]).compared(), Comparison::Equal);
    assert_eq!(Images::new(&[(1, data(7))]).compared(), Comparison::Equal);
    assert_eq!(Images::new(&[(3, ClusterSpec::Zero)]).compared(), Comparison::Equal);
}

#[test]
fn the_first_byte_that_an_overlay_adds_or_takes_away_is_told() {
    let first = |clusters: &[(u64, ClusterSpec)]| match Images::new(clusters).compared() {
        Comparison::Differs { first } => first,
        equal => panic!("{equal:?}"),
    };
    assert_eq!(first(&[(5, data(1)), (9, data(2))]), 5 * CLUSTER);
    assert_eq!(first(&[(1, ClusterSpec::Zero)]), CLUSTER, "what was discarded is missing from the base");
    let mut one = vec![7; CLUSTER as usize];
    one[1000] = 8;
    assert_eq!(first(&[(1, ClusterSpec::Data(one))]), CLUSTER + 1000);
}

#[test]
fn an_overlay_of_something_else_or_none_at_all_is_an_error() {
    let images = Images::new(&[]);
    let other = images.path("other.qcow2");
    fs::copy(images.path("base.qcow2"), &other).unwrap();
    assert!(images.with(&other).unwrap_err().contains("doesn't name"));
    fs::write(images.path("overlay.qcow2"), b"no image").unwrap();
    images.with(&images.path("base.qcow2")).unwrap_err();
}

/// As QEMU itself commits: before it, they differ, after it they don't, and the overlay still holds it all.
#[test]
fn what_qemu_commits_is_equal_from_then_on() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        assert!(std::env::var_os("STILLPOINT_REQUIRE_ORACLES").is_none(), "required, and missing: qemu-img");
        println!("skipped: no qemu-img");
        return;
    }
    let images = Images::new(&[(5, data(1)), (1, ClusterSpec::Zero)]);
    // QEMU knows the base by the name that is stored.
    let (overlay, base) = (images.path("overlay.qcow2"), images.path("base.qcow2"));
    let absolute = ImageBuilder::v3()
        .size(1 << 20)
        .backing(base.to_str().unwrap().as_bytes(), Some("qcow2"))
        .cluster(5, data(1))
        .cluster(1, ClusterSpec::Zero);
    fs::write(&overlay, absolute.build()).unwrap();
    assert_eq!(images.compared(), Comparison::Differs { first: CLUSTER });
    for _ in 0..2 {
        QemuImg::new().commit(&overlay, &base).unwrap();
        assert_eq!(images.compared(), Comparison::Equal);
    }
    fs::copy(images.path("overlay.qcow2"), images.path("again.qcow2")).unwrap();
    let said = QemuImg::new().commit(&overlay, &images.path("again.qcow2")).unwrap_err().to_string();
    assert!(said.contains("backing chain"), "{said}");
}
