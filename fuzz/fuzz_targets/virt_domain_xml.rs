//! A domain's XML is read or refused; a definition that is changed reads back with that one change.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use stillpoint_virt::domain::{Domain, Source, rebase_definition};

fuzz_target!(|xml: &str| {
    let Ok(domain) = Domain::parse(xml) else { return };
    let base = Path::new("/volume/a 'b' \"c\" <d> & e.qcow2");
    let mut seen = Vec::new();
    for disk in &domain.disks {
        // Two disks of one target: libvirt refuses such a definition, and only the first is meant here.
        if seen.contains(&&disk.target) {
            continue;
        }
        seen.push(&disk.target);
        let Ok(changed) = rebase_definition(xml, &disk.target, base, "qcow2") else { continue };
        let again = Domain::parse(&changed).expect("a definition that was changed is still one");
        assert_eq!(
            (&again.uuid, &again.name, again.disks.len()),
            (&domain.uuid, &domain.name, domain.disks.len())
        );
        let rebased = again.disk(&disk.target).expect("the disk is still there");
        assert_eq!(rebased.source, Source::File(base.to_owned()));
        assert_eq!(rebased.format.as_deref(), Some("qcow2"));
        let others = |domain: &Domain| {
            let first = domain.disks.iter().position(|other| other.target == disk.target);
            let all = domain.disks.iter().cloned().enumerate();
            all.filter(|(at, _)| Some(*at) != first).map(|(_, disk)| disk).collect::<Vec<_>>()
        };
        assert_eq!(others(&again), others(&domain), "another disk changed");
    }
});
