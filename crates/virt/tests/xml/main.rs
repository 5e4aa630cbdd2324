//! Domain XML as libvirt 11.3 wrote it: a domain with a template below its first disk and a raw second one, both on overlays,
//! the first one's commit ready for its pivot.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use proptest::prelude::*;
use stillpoint_virt::domain::{AgentChannel, Domain, Ready, Source, rebase_definition};

const LIVE: &str = include_str!("live-ready.xml");
const INACTIVE: &str = include_str!("inactive-overlay.xml");

#[test]
fn a_live_domain_is_read_with_its_chains_and_its_job() {
    let domain = Domain::parse(LIVE).unwrap();
    assert_eq!((domain.name.as_str(), domain.id), ("web & mail", Some(1)));
    assert_eq!(domain.agent, AgentChannel::Disconnected);
    assert_eq!(domain.security_models, ["dac"]);
    let vda = domain.disk("vda").unwrap();
    assert!(vda.source.is_file(Path::new("/gv/vm/system.stillpoint-t.qcow2")));
    let below: Vec<_> = vda.backing.iter().map(|layer| layer.source.file().unwrap()).collect();
    assert_eq!(below, [Path::new("/gv/vm/system.qcow2"), Path::new("/gv/vm/template.qcow2")]);
    let mirror = vda.mirror.as_ref().unwrap();
    assert_eq!((mirror.job.as_str(), mirror.ready), ("active-commit", Ready::Yes));
    assert_eq!(mirror.source.as_deref(), Some(Path::new("/gv/vm/system.qcow2")));
    let vdb = domain.disk("vdb").unwrap();
    assert_eq!((vdb.mirror.as_ref(), vdb.backing[0].format.as_deref()), (None, Some("raw")));
    let sda = domain.disk("sda").unwrap();
    assert_eq!((sda.device.as_str(), &sda.source, sda.readonly), ("cdrom", &Source::Empty, true));
}

#[test]
fn every_state_of_a_job_is_told_apart() {
    for (text, ready) in [
        ("", Ready::No),
        (" ready='yes'", Ready::Yes),
        (" ready='pivot'", Ready::Pivot),
        (" ready='abort'", Ready::Abort),
    ] {
        let domain = Domain::parse(&LIVE.replace(" ready='yes'", text)).unwrap();
        assert_eq!(domain.disk("vda").unwrap().mirror.as_ref().unwrap().ready, ready);
    }
}

#[test]
fn a_definition_is_rebased_and_nothing_else_of_it_changes() {
    let xml = rebase_definition(INACTIVE, "vdb", Path::new("/gv/vm/it's <new> & raw.img"), "raw").unwrap();
    let (before, after) = (Domain::parse(INACTIVE).unwrap(), Domain::parse(&xml).unwrap());
    let vdb = after.disk("vdb").unwrap();
    assert!(vdb.source.is_file(Path::new("/gv/vm/it's <new> & raw.img")));
    assert_eq!((vdb.format.as_deref(), vdb.backing.len()), (Some("raw"), 0));
    assert_eq!(before.disk("vda"), after.disk("vda"));
    let kept = |xml: &str| xml.lines().filter(|line| !line.contains("vdb")).count();
    assert!(kept(&xml) >= kept(INACTIVE) - 6, "only the chain is gone");
    for line in xml.lines().filter(|line| !line.contains("raw") && !line.trim().is_empty()) {
        assert!(INACTIVE.contains(line), "{line}");
    }
}

#[test]
fn what_is_not_there_can_not_be_rebased() {
    assert!(rebase_definition(INACTIVE, "vdz", Path::new("/x"), "raw").is_err());
    assert!(rebase_definition(INACTIVE, "sda", Path::new("/x"), "raw").is_err());
    assert!(rebase_definition("<domain/>", "vda", Path::new("/x"), "raw").is_err());
    let block = INACTIVE.replace("type='file'", "type='block'");
    assert!(rebase_definition(&block, "vdb", Path::new("/x"), "raw").is_err());
}

#[test]
fn entities_that_grow_without_bound_are_refused() {
    let bomb = "<!DOCTYPE domain [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]><domain><name>&b;</name></domain>";
    assert!(Domain::parse(bomb).is_err());
}

proptest! {
    #[test]
    fn damaged_xml_is_an_error_or_a_domain_and_never_a_panic(
        at in 0..LIVE.len(), len in 0..200usize, put in "[<>/'=a-z &;]{0,20}", target in "vd[a-c]"
    ) {
        prop_assume!(LIVE.is_char_boundary(at));
        let end = (at + len).min(LIVE.len());
        let damaged = format!("{}{put}{}", &LIVE[..at], &LIVE[end..]);
        let _ = Domain::parse(&damaged);
        let _ = rebase_definition(&damaged, &target, Path::new("/base"), "qcow2");
    }

    #[test]
    fn any_path_survives_being_written_into_a_definition(path in "/[^\\x00-\\x1f\\x7f]{1,80}") {
        let path = Path::new(&path);
        let xml = rebase_definition(INACTIVE, "vda", path, "qcow2").unwrap();
        let domain = Domain::parse(&xml).unwrap();
        prop_assert!(domain.disk("vda").unwrap().source.is_file(path));
    }
}

#[test]
fn memory_is_told_in_bytes_whatever_its_unit() {
    let memory = |xml: &str| {
        let xml = format!(
            "<domain><name>d</name><uuid>6f6a5c5e-3d7b-4f0e-9d2b-0123456789ab</uuid>{xml}<os/></domain>"
        );
        Domain::parse(&xml).unwrap().memory
    };
    assert_eq!(memory("<memory unit='KiB'>65536</memory>"), Some(64 << 20));
    assert_eq!(memory("<memory>1</memory>"), Some(1024));
    assert_eq!(memory("<memory unit='GB'>2</memory>"), Some(2_000_000_000));
    assert_eq!(memory("<memory unit='TiB'>18446744073709551615</memory>"), None, "more than there can be");
    assert_eq!(memory("<memory unit='pages'>1</memory>"), None);
    assert_eq!(memory(""), None);
}
