//! What the preflight finds in a simulated session, and that its remedies are commands.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use stillpoint_georep::{Check, CliErrorKind, Error, Finding, PreflightOptions, Severity, preflight};
use stillpoint_sim::replication::{Fault, SimulatedSession};

fn simulated(name: &str) -> (SimulatedSession, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (SimulatedSession::new(name.parse().unwrap(), dir.path()).unwrap(), dir)
}

fn findings(s: &SimulatedSession) -> Vec<Finding> {
    let mut found = preflight(&s.session(), &PreflightOptions::default()).unwrap();
    found.retain(|f| f.what != Check::LogRsyncPerformance);
    found
}

/// The words of a command as a shell splits them, quotes being single and whole words.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn nothing_is_found_where_all_is_well() {
    let (s, _dir) = simulated("gv1 siteB::gv2");
    assert_eq!(findings(&s), []);
}

#[test]
fn what_is_set_wrong_is_found_and_gone_after_its_remedy() {
    for (option, value, check, severity) in [
        ("secondary-access-mount", "false", Check::SecondaryAccessMount, Severity::Refuse),
        ("sync-method", "tarssh", Check::SyncMethod, Severity::Refuse),
        ("sync-xattrs", "false", Check::SyncXattrs, Severity::Refuse),
        ("rsync-options", "--whole-file", Check::ModifyWindow, Severity::Warn),
        ("rsync-options", "--modify-window=-1 --bwlimit=9", Check::WholeFile, Severity::Warn),
        ("use-meta-volume", "false", Check::MetaVolume, Severity::Note),
    ] {
        let (s, _dir) = simulated("gv1 siteB::gv2");
        s.set_config(option, value);
        let found = findings(&s);
        let [finding] = found.as_slice() else { panic!("{option}: {found:#?}") };
        assert_eq!((finding.what, finding.severity), (check, severity));
        let remedy = words(finding.remedy.as_deref().unwrap());
        let [gluster, volume, georep, primary, far, config, option, value] = remedy.as_slice() else {
            panic!("{remedy:?}")
        };
        assert_eq!(
            [gluster, volume, georep, primary, far, config].map(String::as_str),
            ["gluster", "volume", "geo-replication", "gv1", "siteB::gv2", "config"]
        );
        assert!(!value.starts_with('-'), "the command line would take {value:?} for an option");
        s.session().set_config(option, value).unwrap();
        assert_eq!(findings(&s), [], "{option}");
    }
}

#[test]
fn two_things_wrong_with_one_option_are_set_right_by_either_remedy() {
    for which in 0..2 {
        let (s, _dir) = simulated("gv1 siteB::gv2");
        s.set_config("rsync-options", "--bwlimit=9");
        let found = findings(&s);
        assert_eq!(found.len(), 2);
        let value = words(found[which].remedy.as_deref().unwrap()).pop().unwrap();
        assert_eq!(value.trim(), "--bwlimit=9 --modify-window=-1 --whole-file");
        s.session().set_config("rsync-options", &value).unwrap();
        assert_eq!(findings(&s), []);
    }
}

#[test]
fn a_session_of_another_user_is_refused() {
    let (s, _dir) = simulated("gv1 geo@siteB::gv2");
    let found = findings(&s);
    assert!(
        matches!(found.as_slice(), [f] if f.what == Check::RootSession && f.severity == Severity::Refuse)
    );
}

#[test]
fn volumes_that_are_not_sharded_are_refused() {
    let (s, _dir) = simulated("gv1 siteB::gv2");
    s.set_volume_option("features.shard", "off");
    let found = findings(&s);
    assert_eq!(found.iter().map(|f| f.what).collect::<Vec<_>>(), [Check::Sharding; 2]);
}

#[test]
fn write_behind_on_a_sharded_volume_is_refused_and_direct_io_past_it_is_a_warning() {
    let (s, _dir) = simulated("gv1 siteB::gv2");
    for (write_behind, strict, severity) in [
        ("on", None, Some(Severity::Refuse)),
        ("on", Some("off"), Some(Severity::Refuse)),
        ("enable", Some("on"), Some(Severity::Warn)),
        ("off", Some("off"), None),
        ("disable", None, None),
    ] {
        s.set_volume_option("performance.write-behind", write_behind);
        if let Some(strict) = strict {
            s.set_volume_option("performance.strict-o-direct", strict);
        }
        let found = findings(&s);
        let seen: Vec<_> = found.iter().map(|f| (f.what, f.severity)).collect();
        let expected: Vec<_> = severity.map(|severity| (Check::WriteBehind, severity)).into_iter().collect();
        assert_eq!(seen, expected, "{write_behind}, {strict:?}");
    }
    s.set_volume_option("performance.write-behind", "on");
    let remedy = findings(&s).pop().unwrap().remedy.unwrap();
    assert!(remedy.starts_with("gluster volume set gv1 performance.write-behind off "), "{remedy}");
    assert!(remedy.contains("gluster volume heal gv1"), "{remedy}");
}

#[test]
fn a_far_side_that_can_t_be_asked_is_a_warning_and_says_what_was_not_looked_at() {
    let (s, _dir) = simulated("gv1 siteB::gv2");
    let down = "Connection failed. Please check if gluster daemon is operational.\n";
    s.fail("--remote-host=siteB", usize::MAX, Fault::Text(down.into()));
    let found = findings(&s);
    assert!(
        matches!(found.as_slice(), [f] if f.what == Check::SecondaryStarted && f.severity == Severity::Warn),
        "{found:#?}"
    );
}

#[test]
fn a_mount_that_is_none_is_found() {
    let (s, dir) = simulated("gv1 siteB::gv2");
    let options = PreflightOptions::default().with_mount(dir.path());
    let found = preflight(&s.session(), &options).unwrap();
    assert!(found.iter().any(|f| f.what == Check::Mount));
}

#[test]
fn a_session_that_does_not_exist_is_an_error() {
    let (s, _dir) = simulated("gv1 siteB::gv2");
    s.fail(
        "status",
        2,
        Fault::Text("No active geo-replication sessions between gv1 and siteB::gv2\n".into()),
    );
    let error = preflight(&s.session(), &PreflightOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Absent), "{error}");
}
