//! Answers that nobody should print: no panic, no hang, no row invented.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use stillpoint_georep::{Limit, LogScan, Output, Patience, RunError, Runner, Session, Side};

/// Answers every command with the same bytes.
#[derive(Debug)]
struct Says(Vec<u8>);

impl Runner for Says {
    fn run(&self, _argv: &[&str], _limit: &Limit<'_>) -> Result<Output, RunError> {
        Ok(Output { code: Some(0), stdout: self.0.clone(), ..Output::default() })
    }
}

fn session(bytes: impl Into<Vec<u8>>) -> Session {
    let name = "gv1 siteB::gv2".parse().unwrap();
    Session::new(Arc::new(Says(bytes.into())), name).with_patience(Patience::default().busy(Duration::ZERO))
}

/// Asks everything there is to ask.
fn ask_everything(bytes: &[u8]) {
    let session = session(bytes);
    let _ = session.status();
    let _ = session.config().map(|c| c.checkpoint());
    let _ = session.volume_info(Side::Primary);
    let _ = session.brick_states(Side::Primary);
    let _ = session.heal_info(Side::Secondary);
    let _ = session.start();
}

fn recorded() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let files = ["gluster-11.1", "gluster-3.7"].map(|d| std::fs::read_dir(root.join(d)).unwrap());
    let mut paths: Vec<_> = files.into_iter().flatten().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|p| std::fs::read(p).unwrap()).collect()
}

#[test]
fn recorded_answers_cut_anywhere_are_errors_and_never_rows() {
    for document in recorded() {
        for cut in (0..document.len().saturating_sub(16)).step_by(331) {
            let session = session(&document[..cut]);
            assert!(session.status().is_err());
            assert!(session.volume_info(Side::Primary).is_err());
            assert!(session.config().is_err());
            assert!(session.start().is_err());
        }
    }
}

#[test]
fn elements_within_elements_without_end_are_refused() {
    for depth in [1_000, 200_000] {
        let open = "<cliOutput><opRet>0</opRet>".to_owned() + &"<a>".repeat(depth);
        ask_everything(open.as_bytes());
        ask_everything((open + &"</a>".repeat(depth) + "</cliOutput>").as_bytes());
    }
}

#[test]
fn entities_are_not_expanded() {
    let laughs = "<?xml version=\"1.0\"?><!DOCTYPE c [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>\
                  <cliOutput><opRet>0</opRet><geoRep><config><x>&b;</x></config></geoRep></cliOutput>";
    assert!(session(laughs).config().is_err());
}

#[test]
fn numbers_that_are_none_are_errors_and_not_zero() {
    let row = |failures: &str, time: &str| {
        format!(
            "<cliOutput><opRet>0</opRet><geoRep><volume><name>gv1</name><sessions><session><session_secondary>u:ssh://\
             siteB::gv2:u</session_secondary><pair><primary_node>a</primary_node><primary_brick>/b</primary_brick>\
             <status>Active</status><failures>{failures}</failures><last_synced>{time}</last_synced></pair></session>\
             </sessions></volume></geoRep><volInfo><volumes><volume><name>gv1</name>\
             <id>cd2f69b9-e3ab-46e2-8660-d97796f8fdeb</id><status>1</status><type>0</type><bricks><brick>a:/b<name>a:/b\
             </name></brick></bricks></volume></volumes></volInfo></cliOutput>"
        )
    };
    assert!(session(row("0", "2026-11-23 08:00:00")).status().is_ok());
    for (failures, time) in [
        ("-1", "N/A"),
        ("many", "N/A"),
        ("99999999999999999999", "N/A"),
        ("0", "yesterday"),
        ("0", "2026-13-23 08:00:00"),
        ("0", "2026-11-23T08:00:00"),
    ] {
        assert!(session(row(failures, time)).status().is_err(), "{failures} {time}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        ask_everything(&bytes);
    }

    #[test]
    fn no_change_to_a_recorded_answer_makes_a_reader_panic(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let all = recorded();
        let mut bytes = all[which.index(all.len())].clone();
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[at.index(length)] = byte;
        }
        ask_everything(&bytes);
    }

    #[test]
    fn no_log_makes_the_scanner_panic_and_every_byte_is_counted(text in "(?s).{0,3000}") {
        let scan = LogScan::read("log", text.as_bytes()).unwrap();
        prop_assert_eq!(scan.bytes, text.len() as u64);
    }

    #[test]
    fn a_log_read_in_two_parts_at_a_line_s_end_says_the_same(
        lines in proptest::collection::vec(
            prop::sample::select(vec![
                "E _GPrimary: META FAILED [{data=x}]",
                "I Syncer: Sync Time Taken [{return_code=23}]",
                "I SSH: rsync performance [{data=Number of files: 2 (reg: 2), Number of regular files transferred: 0, \
                 Total bytes received: 12, sent}]",
                "I nothing",
            ]),
            0..20,
        ),
        at in any::<prop::sample::Index>(),
    ) {
        let join = |lines: &[&str]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
        let whole = LogScan::read("log", join(&lines).as_bytes()).unwrap();
        let (first, second) = lines.split_at(at.index(lines.len() + 1));
        let read = |lines: &[&str]| LogScan::read("log", join(lines).as_bytes()).unwrap();
        prop_assert_eq!(read(first).then(read(second)), whole);
    }
}
