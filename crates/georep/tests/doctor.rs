//! What a doctor's look finds beyond a session's options, and what it sets right.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use stillpoint_georep::{
    Check, Clock as _, Finding, Fix, Limit, LocalLog, NoJournal, Output, PreflightOptions, RunError, Runner,
    Severity, apply, examine, sync,
};
use stillpoint_sim::replication::{Behaviour, Fault, SimulatedSession};

fn simulated() -> (SimulatedSession, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let s = SimulatedSession::new("gv1 siteB::gv2".parse().unwrap(), dir.path()).unwrap();
    s.set_config("log-rsync-performance", "true");
    (s, dir)
}

fn found(s: &SimulatedSession, options: &PreflightOptions) -> Vec<Finding> {
    examine(&s.session(), options).unwrap().findings
}

fn checks(s: &SimulatedSession) -> Vec<(Check, Severity)> {
    found(s, &PreflightOptions::default()).iter().map(|f| (f.what, f.severity)).collect()
}

fn run(s: &SimulatedSession) {
    let options = s.options(Duration::from_secs(600));
    sync(&s.session(), &options, &NoJournal, &mut |_| {}, &AtomicBool::new(false)).unwrap();
}

fn log_of(s: &SimulatedSession) -> PreflightOptions {
    PreflightOptions::default().with_log(Arc::clone(&s.options(Duration::from_secs(1)).logs[0]))
}

#[test]
fn what_was_looked_at_is_told_and_what_was_not_is_not() {
    let (s, dir) = simulated();
    run(&s);
    let bare = examine(&s.session(), &PreflightOptions::default()).unwrap();
    assert_eq!(bare.findings, []);
    assert_eq!(bare.worst(), None);
    for check in [Check::EarlierNoOp, Check::Mount, Check::SecondaryRsync, Check::SecondaryClock] {
        assert!(!bare.looked_at.contains(&check), "{check}");
    }
    for check in [Check::Workers, Check::Changelog, Check::Tasks, Check::SecondaryTasks, Check::Clock] {
        assert!(bare.looked_at.contains(&check), "{check}");
    }
    let more = examine(&s.session(), &log_of(&s).with_mount(dir.path())).unwrap();
    assert!(more.looked_at.contains(&Check::EarlierNoOp) && more.looked_at.contains(&Check::Mount));
}

#[test]
fn options_that_make_rsync_leave_files_out_are_refused_and_not_taken_away() {
    for options in ["--size-only", "-n", "--update --bwlimit=9", "--max-size=1m", "--exclude '*.qcow2'"] {
        let (s, _dir) = simulated();
        s.set_config("rsync-options", &format!("--modify-window=-1 --whole-file {options}"));
        let found = found(&s, &PreflightOptions::default());
        let [finding] = found.as_slice() else { panic!("{options}: {found:#?}") };
        assert_eq!((finding.what, finding.severity), (Check::RsyncOptions, Severity::Refuse), "{options}");
        assert_eq!(finding.fix, None);
    }
}

#[test]
fn a_session_that_goes_by_no_changelog_is_found() {
    let (s, _dir) = simulated();
    s.set_volume_option("changelog.changelog", "off");
    assert_eq!(checks(&s), [(Check::Changelog, Severity::Refuse)]);
    s.set_volume_option("changelog.changelog", "on");
    s.set_config("change-detector", "xsync");
    assert_eq!(checks(&s), [(Check::Changelog, Severity::Warn)]);
    s.set_config("change-detector", "changelog");
    s.set_config("ignore-deletes", "true");
    assert_eq!(checks(&s), [(Check::IgnoreDeletes, Severity::Note)]);
}

#[test]
fn a_worker_that_is_active_and_stands_still_is_found_and_one_that_gets_on_is_not() {
    let (s, _dir) = simulated();
    run(&s);
    s.behave(Behaviour::Starved { brick: 2, starts: 1 });
    s.session().start().unwrap();
    s.sleep(Duration::from_secs(30));
    s.session().set_checkpoint().unwrap();
    s.sleep(Duration::from_secs(20));
    assert_eq!(checks(&s), [], "a checkpoint that is young may be under way");
    s.sleep(Duration::from_secs(60));
    let found = found(&s, &PreflightOptions::default());
    let starved = found.iter().find(|f| f.what == Check::Starved).unwrap();
    assert!(starved.seen.contains("siteA:/bricks/b2"), "{starved}");
    assert!(starved.matters.contains("for ever"), "{starved}");
}

#[test]
fn workers_that_die_and_nodes_that_do_not_answer_are_found() {
    let (s, _dir) = simulated();
    s.behave(Behaviour::Offline { brick: 3 });
    s.session().start().unwrap();
    s.sleep(Duration::from_secs(10));
    assert_eq!(checks(&s), [(Check::Workers, Severity::Refuse)]);
    s.behave(Behaviour::Faulty { brick: 1 });
    let seen = (0..20).any(|_| {
        s.sleep(Duration::from_secs(1));
        checks(&s) == [(Check::Workers, Severity::Warn)]
    });
    assert!(seen);
}

#[test]
fn bricks_whose_clocks_are_ahead_are_refused() {
    let (s, _dir) = simulated();
    run(&s);
    s.set_bricks_ahead(30);
    s.session().start().unwrap();
    s.sleep(Duration::from_secs(10));
    std::fs::File::open(s.options(Duration::from_secs(1)).mount)
        .unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    s.sleep(Duration::from_secs(1));
    s.sleep(Duration::from_secs(20));
    assert_eq!(checks(&s), [(Check::Clock, Severity::Refuse)]);
}

#[test]
fn a_rebalance_under_way_is_refused_at_either_side_and_one_that_is_over_is_not() {
    let status = |volume: &str, nodes: &str, word: &str| {
        format!(
            "<cliOutput><opRet>0</opRet><volStatus><volumes><volume><volName>{volume}</volName>{nodes}<tasks><task>\
             <type>Rebalance</type><id>x</id><status>1</status><statusStr>{word}</statusStr></task></tasks></volume>\
             </volumes></volStatus></cliOutput>"
        )
    };
    let node = |host: &str, index: usize| {
        format!("<node><hostname>{host}</hostname><path>/bricks/b{index}</path><status>1</status></node>")
    };
    let near: String = (0..4).map(|i| node("siteA", i)).collect();
    let far: String = (0..2).map(|i| node("siteB", i)).collect();
    for (word, found) in [("in progress", true), ("completed", false), ("failed", false)] {
        let (s, _dir) = simulated();
        s.fail("volume status gv1", 1, Fault::Text(status("gv1", &near, word)));
        s.fail("volume status gv2", 1, Fault::Text(status("gv2", &far, word)));
        let expected = [(Check::Tasks, Severity::Refuse), (Check::SecondaryTasks, Severity::Refuse)];
        assert_eq!(checks(&s), if found { &expected[..] } else { &[] }, "{word}");
    }
}

#[test]
fn the_log_tells_of_a_no_op_and_of_what_was_given_up_in_earlier_runs() {
    for (behaviour, check, words) in [
        (Behaviour::SilentNoOp, Check::EarlierNoOp, "looked at none"),
        (Behaviour::MovingOn, Check::EarlierFailures, "moving on"),
        (
            Behaviour::EntryFailed { gfid: uuid::Uuid::from_u128(7) },
            Check::EarlierFailures,
            "could not be set",
        ),
    ] {
        let (s, _dir) = simulated();
        assert_eq!(found(&s, &log_of(&s))[0].severity, Severity::Note, "the log is not there yet");
        s.behave(behaviour);
        run(&s);
        let found = found(&s, &log_of(&s));
        let [finding] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((finding.what, finding.severity), (check, Severity::Warn));
        assert!(finding.seen.contains(words), "{finding}");
        assert!(finding.remedy.is_some() && finding.fix.is_none());
    }
}

#[test]
fn a_log_that_can_t_be_read_is_a_finding() {
    let (s, dir) = simulated();
    std::fs::create_dir(dir.path().join("is-a-directory")).unwrap();
    let log = LocalLog::new(dir.path().join("is-a-directory"));
    let found = found(&s, &PreflightOptions::default().with_log(Arc::new(log)));
    assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Warn]);
}

/// A secondary's host with this rsync, and a clock that is so many seconds ahead of the simulation's.
#[derive(Debug)]
struct Far {
    rsync: Option<&'static str>,
    ahead: i64,
    s: SimulatedSession,
}

impl Runner for Far {
    fn run(&self, argv: &[&str], _limit: &Limit<'_>) -> Result<Output, RunError> {
        let text = match argv {
            ["rsync", "--version"] => match self.rsync {
                Some(version) => format!("rsync  version {version}  protocol version 32\n"),
                None => {
                    return Ok(Output {
                        code: Some(127),
                        stderr: b"not found".to_vec(),
                        ..Output::default()
                    });
                }
            },
            ["date", _] => format!("{}.5\n", self.s.now().as_second() + self.ahead),
            _ => panic!("{argv:?}"),
        };
        Ok(Output { code: Some(0), stdout: text.into_bytes(), ..Output::default() })
    }
}

#[test]
fn the_far_side_s_rsync_and_clock_are_seen_where_it_can_be_asked() {
    for (rsync, ahead, expected) in [
        (Some("3.2.7"), 0, vec![]),
        (Some("3.5.0"), 0, vec![(Check::SecondaryRsync, Severity::Note)]),
        (None, 0, vec![(Check::SecondaryRsync, Severity::Warn)]),
        (Some("3.2.7"), 30, vec![(Check::SecondaryClock, Severity::Note)]),
        (Some("3.2.7"), -30, vec![(Check::SecondaryClock, Severity::Note)]),
    ] {
        let (s, _dir) = simulated();
        let far = Far { rsync, ahead, s: s.clone() };
        let found = found(&s, &PreflightOptions::default().with_far(Arc::new(far)));
        let seen: Vec<_> = found.iter().map(|f| (f.what, f.severity)).collect();
        assert_eq!(seen, expected, "{found:#?}");
    }
}

#[test]
fn fixing_sets_each_option_once_and_nothing_that_was_not_allowed() {
    let (s, _dir) = simulated();
    s.set_config("secondary-access-mount", "false");
    s.set_config("rsync-options", "--bwlimit=9");
    s.set_config("use-meta-volume", "false");
    s.set_volume_option("performance.write-behind", "on");
    let before = found(&s, &PreflightOptions::default());
    assert_eq!(before.len(), 5, "{before:#?}");

    let none = apply(&s.session(), &before, &|_, _| false).unwrap();
    assert_eq!(none, []);
    let only_session = |_: &Finding, fix: &Fix| matches!(fix, Fix::Session { .. });
    let fixed = apply(&s.session(), &before, &only_session).unwrap();
    let what: Vec<_> = fixed.iter().flat_map(|f| f.what.clone()).collect();
    assert_eq!(what, [Check::SecondaryAccessMount, Check::ModifyWindow, Check::WholeFile]);
    assert_eq!(fixed.len(), 2, "one option is set once: {fixed:#?}");
    assert!(!s.commands().iter().any(|c| c.contains("volume set")));
    let left: Vec<_> = checks(&s).into_iter().map(|(check, _)| check).collect();
    assert_eq!(left, [Check::MetaVolume, Check::WriteBehind]);

    let rest = found(&s, &PreflightOptions::default());
    apply(&s.session(), &rest, &|_, _| true).unwrap();
    assert_eq!(checks(&s), [(Check::MetaVolume, Severity::Note)]);
}

#[test]
fn a_fix_that_is_refused_is_told_with_those_before_it() {
    let (s, _dir) = simulated();
    s.set_config("secondary-access-mount", "false");
    s.set_config("sync-xattrs", "false");
    let found = found(&s, &PreflightOptions::default());
    s.fail("config secondary-access-mount", 1, Fault::Refuse("Invalid option".into()));
    let (done, error) = apply(&s.session(), &found, &|_, _| true).unwrap_err();
    assert_eq!(done.iter().map(|f| f.what.clone()).collect::<Vec<_>>(), [[Check::SyncXattrs]]);
    assert!(error.to_string().contains("secondary-access-mount"), "{error}");
}

#[test]
fn a_far_side_that_is_nearly_full_is_a_warning_and_one_that_refuses_writes_is_refused() {
    for (free, expected) in [
        (50_000_000, None),
        (49_000_000, Some(Severity::Warn)),
        (20_000_000, Some(Severity::Warn)),
        (19_000_000, Some(Severity::Refuse)),
        (0, Some(Severity::Refuse)),
    ] {
        let (s, _dir) = simulated();
        s.set_far_free(free);
        let expected: Vec<_> =
            expected.into_iter().map(|severity| (Check::SecondarySpace, severity)).collect();
        assert_eq!(checks(&s), expected, "{free}");
    }
    let (s, _dir) = simulated();
    s.fail("volume status gv2 detail", 1, Fault::Text("unrecognized command".into()));
    assert_eq!(checks(&s), [(Check::SecondarySpace, Severity::Note)]);
}
