//! What a journal is good for is what these hold it to.

use std::path::Path;

use proptest::prelude::*;
use stillpoint_georep as georep;
use stillpoint_virt as virt;
use uuid::Uuid;

use super::*;
use crate::Outcome;
use crate::error::Error;
use crate::manifest::Digest;

fn run() -> RunId {
    "20261123T051234Z-4f1c".parse().expect("a run's name")
}

fn session() -> georep::SessionName {
    "gv1 siteB::gv2".parse().expect("a session's name")
}

/// Steps of every part, with texts from outside in them.
fn entry() -> impl Strategy<Value = Entry> {
    let text = "\\PC{0,20}";
    let run_step = prop_oneof![
        any::<bool>().prop_map(|replication_running| RunStep::Found { replication_running }),
        Just(RunStep::ProofBegan),
        any::<(bool, u64)>().prop_map(|(holds, differing_shards)| RunStep::Proved {
            outcome: if holds { Outcome::Proven } else { Outcome::Failed },
            holds,
            differing_shards,
            primary: Digest::of_nothing(),
            secondary: Digest::of_nothing(),
        }),
        (text, text).prop_map(|(version, name)| RunStep::Began(RunBegan {
            version,
            session: session(),
            connect: "qemu:///system".to_owned(),
            backend: virt::Backend::Virsh,
            domains: vec![virt::DomainId { uuid: Uuid::from_u128(1), name }],
            mount: "/mnt/gv1".into(),
            after_run: AfterRun::AsFound,
        })),
    ];
    let virt_step = (text, any::<u64>(), text).prop_map(|(name, deadline_ms, target)| {
        let kind = match deadline_ms % 3 {
            0 => virt::StepKind::FreezeIntended { deadline_ms },
            1 => virt::StepKind::SnapshotVerified,
            _ => virt::StepKind::CommitIntended { target },
        };
        let tag = virt::Tag::new("stillpoint-x").expect("a tag");
        Entry::Virt(virt::Step { domain: virt::DomainId { uuid: Uuid::from_u128(2), name }, tag, kind })
    });
    let georep_step = text.prop_map(|reason| {
        Entry::Georep(georep::Step::RestartIntended { session: session(), attempt: 1, reason })
    });
    prop_oneof![run_step.prop_map(Entry::Run), virt_step, georep_step]
}

fn written(entries: &[Entry]) -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = Journal::create(dir.path(), &run()).expect("a journal");
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(journal.write(entry).expect("written"), at as u64 + 1);
    }
    let bytes = std::fs::read(dir.path().join(FILE_NAME)).expect("the journal");
    (dir, bytes)
}

fn parse(bytes: &[u8]) -> Result<Contents, Error> {
    read::parse(bytes, Path::new("journal"))
}

fn entries_of(contents: &Contents) -> Vec<Entry> {
    contents.records.iter().map(|record| record.entry.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_reads_back(entries in prop::collection::vec(entry(), 0..8)) {
        let (dir, _) = written(&entries);
        let contents = super::read(&dir.path().join(FILE_NAME)).expect("just written");
        prop_assert_eq!(&contents.header.run, &run());
        prop_assert_eq!(contents.torn, None);
        prop_assert_eq!(contents.records.iter().map(|record| record.seq).collect::<Vec<_>>(), (1..=entries.len() as u64).collect::<Vec<_>>());
        prop_assert_eq!(entries_of(&contents), entries);
    }

    #[test]
    fn cut_at_any_byte_it_is_a_prefix_of_its_records(entries in prop::collection::vec(entry(), 1..5)) {
        let (_dir, bytes) = written(&entries);
        let header = bytes.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
        for len in 0..bytes.len() {
            let cut = parse(&bytes[..len]);
            if len < header {
                // A journal without its header never stood under its name.
                prop_assert!(matches!(cut, Err(Error::JournalCorrupt { .. })), "{len}");
                continue;
            }
            let cut = cut.expect("a prefix");
            let whole_lines = bytes[header..len].iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(entries_of(&cut), &entries[..whole_lines]);
            let at_a_line_end = bytes[len - 1] == b'\n';
            prop_assert_eq!(cut.torn.is_none(), at_a_line_end);
        }
    }

    #[test]
    fn no_flipped_bit_is_taken_for_what_was_written(entries in prop::collection::vec(entry(), 1..4), seed in any::<u64>()) {
        let (_dir, bytes) = written(&entries);
        // Every byte of a journal, one bit each; which one varies from case to case.
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << ((seed as usize + at) % 8);
            if let Ok(contents) = parse(&flipped) {
                // Only as a line that was cut short, and the reader says that it was.
                prop_assert!(contents.torn.is_some(), "byte {at}");
                prop_assert_eq!(&entries_of(&contents), &entries[..contents.records.len()]);
                prop_assert_eq!(contents.records.len(), entries.len() - 1);
            }
        }
    }

    #[test]
    fn lines_dropped_doubled_or_swapped_are_found(entries in prop::collection::vec(entry(), 3..6), at in 1usize..3) {
        let (_dir, bytes) = written(&entries);
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let mut dropped = lines.clone();
        dropped.remove(at);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        for changed in [dropped, doubled, swapped] {
            let corrupt = matches!(parse(&changed.concat()), Err(Error::JournalCorrupt { .. }));
            prop_assert!(corrupt);
        }
    }
}

#[test]
fn a_journal_goes_on_after_its_torn_tail_is_cut() {
    let entries = [Entry::Run(RunStep::ProofBegan), Entry::Run(RunStep::ProofBegan)];
    let (dir, bytes) = written(&entries);
    let path = dir.path().join(FILE_NAME);
    std::fs::write(&path, &bytes[..bytes.len() - 7]).expect("cut");
    let contents = super::read(&path).expect("a prefix");
    assert_eq!((contents.records.len(), contents.torn.is_some()), (1, true));
    let journal = Journal::resume(dir.path(), &contents).expect("resumed");
    journal.write(&Entry::Run(RunStep::ProofBegan)).expect("written");
    let contents = super::read(&path).expect("whole");
    assert_eq!(
        contents.records.iter().map(|record| record.entry.name()).collect::<Vec<_>>(),
        ["run.proof-began", "run.torn-tail-cut", "run.proof-began"]
    );
    assert_eq!(contents.torn, None);
}

#[test]
fn zeros_that_a_crash_left_at_the_end_are_a_torn_tail() {
    let (_dir, mut bytes) = written(&[Entry::Run(RunStep::ProofBegan)]);
    bytes.extend_from_slice(&[0; 100]);
    assert!(parse(&bytes).expect("a prefix").torn.is_some());
    bytes.push(b'\n');
    assert!(parse(&bytes).expect("a prefix").torn.is_some());
}

#[test]
fn a_bad_line_before_the_last_is_an_error_that_names_it() {
    let (_dir, bytes) = written(&[Entry::Run(RunStep::ProofBegan), Entry::Run(RunStep::ProofBegan)]);
    let text = String::from_utf8(bytes).expect("text");
    let changed = text.replacen("proof-began", "proof-begun", 1);
    match parse(changed.as_bytes()) {
        Err(Error::JournalCorrupt { line, .. }) => assert_eq!(line, 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_later_version_is_refused_before_its_records_are_read() {
    let (line, _) =
        line::seal(line::Sum::default(), "{\"format\":\"stillpoint journal\",\"version\":2,\"new\":1}");
    assert!(matches!(parse(line.as_bytes()), Err(Error::JournalVersion { version: 2, .. })));
}

#[test]
fn another_kind_of_file_is_refused() {
    for bytes in [&b""[..], b"\n", b"{}\n", b"{\"sum\":\"\n", b"\xff\xfe\n"] {
        assert!(matches!(parse(bytes), Err(Error::JournalCorrupt { line: 1, .. })), "{bytes:?}");
    }
}

#[test]
fn an_observer_sees_each_record_once_it_is_on_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(FILE_NAME);
    let seen = std::sync::Mutex::new(Vec::new());
    let journal = Journal::create(dir.path(), &run()).expect("a journal").observed(|record| {
        let on_disk = super::read(&path).expect("readable").records.last().cloned();
        assert_eq!(on_disk.as_ref(), Some(record));
        seen.lock().expect("one thread").push(record.entry.name());
    });
    journal.write(&Entry::Run(RunStep::ProofBegan)).expect("written");
    assert_eq!(*seen.lock().expect("one thread"), ["run.proof-began"]);
}

#[test]
fn step_names_are_told_by_part_in_one_spelling() {
    let virt = |kind| {
        let domain = virt::DomainId { uuid: Uuid::from_u128(2), name: "vm".to_owned() };
        Entry::Virt(virt::Step { domain, tag: virt::Tag::new("t").expect("a tag"), kind })
    };
    assert_eq!(virt(virt::StepKind::Frozen { file_systems: 1 }).name(), "virt.frozen");
    assert_eq!(virt(virt::StepKind::SnapshotVerified).name(), "virt.snapshot-verified");
    let step = georep::Step::CheckpointIntended { session: session() };
    assert_eq!(Entry::Georep(step).name(), "georep.checkpoint-intended");
    assert_eq!(Entry::Run(RunStep::ProofBegan).name(), "run.proof-began");
}
