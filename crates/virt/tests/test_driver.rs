//! The `virt` crate's backend against libvirt's in-process test driver, which has no external snapshots and no block jobs.
//! (`virsh` can't be tested so: the driver's state lives and dies with one process.)
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use stillpoint_virt::domain::Domain;
use stillpoint_virt::{
    Backend, BackendChoice, CallErrorKind, CommitSpec, DomainId, DomainState, Hypervisor, PauseReason, Which,
    connect,
};

fn connected() -> (Box<dyn Hypervisor>, DomainId) {
    let hypervisor = connect(BackendChoice::Auto, "test:///default").unwrap();
    assert_eq!(hypervisor.backend(), Backend::Libvirt);
    let domain = hypervisor.find("test").unwrap();
    (hypervisor, domain)
}

#[test]
fn its_domain_is_found_read_and_described() {
    let (hypervisor, domain) = connected();
    assert_eq!(hypervisor.find(&domain.uuid.to_string()).unwrap(), domain);
    assert_eq!(hypervisor.find("nobody").unwrap_err().kind, CallErrorKind::NoDomain);
    assert!(hypervisor.is_persistent(&domain).unwrap());
    assert!(hypervisor.versions().unwrap().libvirt.is_some());
    for which in [Which::Live, Which::Inactive, Which::InactiveWithSecrets] {
        let parsed = Domain::parse(&hypervisor.xml(&domain, which).unwrap()).unwrap();
        assert_eq!((parsed.uuid, parsed.name), (domain.uuid, domain.name.clone()));
    }
    assert_eq!(hypervisor.snapshot_count(&domain).unwrap(), 0);
    assert_eq!(hypervisor.checkpoint_count(&domain).unwrap(), 0);
    assert!(!hypervisor.has_saved_state(&domain).unwrap());
    assert_eq!(hypervisor.has_task(&domain).unwrap_err().kind, CallErrorKind::Unsupported);
}

#[test]
fn the_guest_s_life_is_driven_and_seen() {
    // The driver's state is one for the whole process, and tests share it: all that changes it is here.
    let (hypervisor, domain) = connected();
    hypervisor.suspend(&domain).unwrap();
    assert_eq!(hypervisor.state(&domain).unwrap(), DomainState::Paused(PauseReason::User));
    hypervisor.resume(&domain).unwrap();
    assert_eq!(hypervisor.state(&domain).unwrap(), DomainState::Running);

    let frozen = hypervisor.freeze(&domain).unwrap();
    assert!(frozen > 0);
    assert_eq!(hypervisor.thaw(&domain).unwrap(), frozen);
    assert_eq!(hypervisor.thaw(&domain).unwrap(), 0, "a second thaw finds nothing frozen");

    let namespace = "https://stillpoint.example/point/1";
    assert_eq!(hypervisor.metadata(&domain, namespace).unwrap(), None);
    hypervisor.set_metadata(&domain, namespace, Some("<point tag='a'/>")).unwrap();
    assert!(hypervisor.metadata(&domain, namespace).unwrap().unwrap().contains("tag"));
    hypervisor.set_metadata(&domain, namespace, None).unwrap();
    assert_eq!(hypervisor.metadata(&domain, namespace).unwrap(), None);

    let xml = hypervisor.xml(&domain, Which::InactiveWithSecrets).unwrap();
    hypervisor.define(&xml).unwrap();
    assert_eq!(hypervisor.domains().unwrap(), [domain]);
}

#[test]
fn what_the_driver_can_not_do_is_an_error_and_not_a_success() {
    let (hypervisor, domain) = connected();
    let spec = CommitSpec { target: "vda".into(), base: "/b".into(), top: "/t".into(), bandwidth: Some(1) };
    assert_eq!(hypervisor.commit(&domain, &spec).unwrap_err().kind, CallErrorKind::Unsupported);
    assert_eq!(hypervisor.pivot(&domain, "vda").unwrap_err().kind, CallErrorKind::Unsupported);
    assert_eq!(hypervisor.block_job(&domain, "vda").unwrap_err().kind, CallErrorKind::Unsupported);
    hypervisor.snapshot(&domain, "<domainsnapshot/>").unwrap_err();
    hypervisor.define("<garbage/>").unwrap_err();
    let gone = DomainId { uuid: uuid::Uuid::from_u128(7), name: "gone".into() };
    assert_eq!(hypervisor.state(&gone).unwrap_err().kind, CallErrorKind::NoDomain);
    assert_eq!(
        hypervisor.set_agent_timeout(&gone, Duration::from_secs(1)).unwrap_err().kind,
        CallErrorKind::NoDomain
    );
}

#[test]
fn a_nul_byte_is_an_error_and_not_a_panic() {
    let (hypervisor, domain) = connected();
    hypervisor.metadata(&domain, "a\0b").unwrap_err();
    hypervisor.set_metadata(&domain, "a", Some("\0")).unwrap_err();
    hypervisor.pivot(&domain, "vd\0a").unwrap_err();
    hypervisor.define("\0").unwrap_err();
}

#[test]
fn a_daemon_that_is_not_there_is_an_error_of_connecting() {
    let error =
        connect(BackendChoice::Libvirt, "qemu+unix:///system?socket=/nonexistent/socket").unwrap_err();
    assert_eq!(error.call_kind(), Some(CallErrorKind::Connection), "{error}");
}

#[test]
fn internal_snapshots_are_made_listed_and_deleted() {
    // A machine of its own: the default one's state is shared with the other tests.
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("node.xml");
    let domain =
        "<domain type='test'><name>own</name><memory>8192</memory><os><type>hvm</type></os></domain>";
    std::fs::write(&node, format!("<node>{domain}</node>")).unwrap();
    let hypervisor = connect(BackendChoice::Libvirt, &format!("test://{}", node.display())).unwrap();
    let domain = hypervisor.find("own").unwrap();
    let xml = "<domainsnapshot><name>stillpoint-a</name></domainsnapshot>";
    hypervisor.snapshot_internal(&domain, xml, Duration::from_secs(10)).unwrap();
    hypervisor.snapshot_internal(&domain, xml, Duration::from_secs(10)).unwrap_err();
    assert_eq!(hypervisor.snapshots(&domain).unwrap(), ["stillpoint-a"]);
    assert_eq!(hypervisor.snapshot_count(&domain).unwrap(), 1);
    hypervisor.delete_snapshot(&domain, "stillpoint-a").unwrap();
    hypervisor.delete_snapshot(&domain, "stillpoint-a").unwrap_err();
    hypervisor.delete_snapshot(&domain, "a\0").unwrap_err();
    assert_eq!(hypervisor.snapshots(&domain).unwrap(), Vec::<String>::new());
}
