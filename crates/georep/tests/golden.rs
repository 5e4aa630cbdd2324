//! What Gluster printed, read through a session: recorded from 11.1, and 3.7's vocabulary written from its format.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stillpoint_georep::{
    AnswerProblem, CliErrorKind, CrawlStatus, Error, Limit, LogScan, Output, Patience, RunError, Runner,
    Session, Side, VolumeKind, WorkerStatus,
};

/// Answers commands from recorded files: the first pair whose words the command contains.
#[derive(Debug)]
struct Replay {
    version: &'static str,
    answers: Vec<(&'static str, &'static str)>,
}

impl Runner for Replay {
    fn run(&self, argv: &[&str], _limit: &Limit<'_>) -> Result<Output, RunError> {
        let command = argv.join(" ");
        let (_, file) =
            self.answers.iter().find(|(words, _)| command.contains(words)).expect("a recorded command");
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(self.version).join(file);
        // Every exit code there is: it must not matter.
        let code = Some(i32::from(file.ends_with("txt")));
        Ok(Output { code, stdout: std::fs::read(path).unwrap(), ..Output::default() })
    }
}

fn replay(version: &'static str, answers: &[(&'static str, &'static str)]) -> Session {
    let runner = Replay { version, answers: answers.to_vec() };
    let patience = Patience::default().busy(Duration::ZERO);
    Session::new(Arc::new(runner), "gv1 siteB::gv2".parse().unwrap()).with_patience(patience)
}

fn status_of(version: &'static str, file: &'static str) -> stillpoint_georep::SessionStatus {
    replay(version, &[("status detail", file), ("volume info gv1", "volume-info.xml")]).status().unwrap()
}

#[test]
fn active_rows_are_read_in_both_vocabularies() {
    for version in ["gluster-11.1", "gluster-3.7"] {
        let status = status_of(version, "status-active.xml");
        assert_eq!(status.rows.len(), 4);
        assert!(status.strays.is_empty());
        assert_eq!(status.rows.iter().map(|r| r.subvolume).collect::<Vec<_>>(), [0, 0, 1, 1]);
        for (index, row) in status.rows.iter().enumerate() {
            assert_eq!(row.brick.to_string(), format!("siteA:/bricks/gv1-b{index}"));
            let worker = row.worker.as_ref().unwrap();
            assert_eq!(worker.status, WorkerStatus::Active);
            assert_eq!(worker.crawl, Some(CrawlStatus::Changelog));
            assert_eq!(worker.failures, Some(0));
            assert_eq!(worker.secondary_user.as_deref(), Some("root"));
            let checkpoint = worker.checkpoint.unwrap();
            assert!(checkpoint.completed);
            // 08:24:21 UTC, whatever the local zone.
            assert_eq!(checkpoint.time.unwrap().to_string(), "2026-11-23T08:24:21Z");
            assert!(worker.last_synced.unwrap() >= checkpoint.time.unwrap());
        }
    }
}

#[test]
fn stopped_and_created_are_stopped_and_nothing_else_is() {
    for (file, stopped) in [
        ("status-created.xml", true),
        ("status-stopped.xml", true),
        ("status-active.xml", false),
        ("status-initializing.xml", false),
        ("status-paused.xml", false),
        ("status-brick-down.xml", false),
    ] {
        assert_eq!(status_of("gluster-11.1", file).all_stopped(), stopped, "{file}");
    }
}

#[test]
fn a_killed_brick_s_worker_is_faulty() {
    for version in ["gluster-11.1", "gluster-3.7"] {
        let status = status_of(version, "status-brick-down.xml");
        let faulty: Vec<bool> =
            status.rows.iter().map(|r| r.status() == Some(&WorkerStatus::Faulty)).collect();
        assert_eq!(faulty, [false, true, false, false]);
    }
}

#[test]
fn volumes_are_read_and_a_distributed_one_has_a_brick_to_a_subvolume() {
    let answers = [("volume info gv1", "volume-info.xml"), ("volume info gv2", "volume-info-remote.xml")];
    let session = replay("gluster-11.1", &answers);
    let near = session.volume_info(Side::Primary).unwrap();
    assert_eq!((near.kind, near.bricks.len(), near.subvolumes()), (VolumeKind::Replicate, 4, 2));
    assert!(near.started && near.sharded());
    assert_eq!(near.shard_size(), Some(4 << 20));
    assert_eq!(near.rollover(), Duration::from_secs(3));
    let far = session.volume_info(Side::Secondary).unwrap();
    // Its distCount says 2.
    assert_eq!((far.kind, far.bricks.len(), far.subvolumes()), (VolumeKind::Distribute, 2, 2));
    assert_eq!(far.switch("features.read-only"), Some(true));
    let old = replay("gluster-3.7", &answers).volume_info(Side::Primary).unwrap();
    assert_eq!((old.kind, old.subvolumes()), (VolumeKind::Replicate, 2));
}

#[test]
fn bricks_that_run_are_told_from_those_that_don_t_and_from_other_processes() {
    let up = replay("gluster-11.1", &[("volume status", "volume-status.xml")])
        .brick_states(Side::Primary)
        .unwrap();
    assert_eq!(up.iter().map(|s| s.online).collect::<Vec<_>>(), [true; 4]);
    let down = replay("gluster-11.1", &[("volume status", "volume-status-brick-down.xml")]);
    let down = down.brick_states(Side::Primary).unwrap();
    assert_eq!(down.iter().map(|s| s.online).collect::<Vec<_>>(), [true, false, true, true]);
}

#[test]
fn what_waits_to_be_healed_is_seen_and_so_is_a_brick_that_does_not_answer() {
    let info = |file| {
        let answers = [("heal", file), ("volume info gv1", "volume-info.xml")];
        replay("gluster-11.1", &answers).heal_info(Side::Primary).unwrap()
    };
    assert!(info("heal-clean.xml").is_clean());
    let pending = info("heal-pending.xml");
    assert!(!pending.is_clean());
    assert_eq!(pending.bricks[0].pending, Some(2));
    assert!(!pending.bricks[1].connected && pending.bricks[1].entries.is_none());
}

#[test]
fn options_are_read_under_either_name() {
    let new = replay("gluster-11.1", &[("config", "config.xml")]).config().unwrap();
    assert_eq!(new.switch("secondary-access-mount"), Some(true));
    assert_eq!(new.get("sync-method"), Some("rsync"));
    assert_eq!(new.get("rsync-options"), Some("--modify-window=-1"));
    assert_eq!(new.checkpoint().unwrap(), None);
    let old = replay("gluster-3.7", &[("config", "config.xml")]).config().unwrap();
    assert_eq!(old.switch("secondary-access-mount"), Some(false));
    assert_eq!(old.spelling("secondary-access-mount"), "slave-access-mount");
    assert_eq!(old.checkpoint().unwrap().unwrap().as_second(), 1_795_422_261);
}

#[test]
fn commands_that_did_nothing_are_told_from_those_that_did() {
    let session = replay(
        "gluster-11.1",
        &[("start", "start.xml"), ("stop", "stop.xml"), ("config", "checkpoint-set.xml")],
    );
    session.start().unwrap();
    session.stop(false).unwrap();
    session.set_config("sync-jobs", "3").unwrap();
    // To start what runs, and to stop what doesn't, is no error.
    replay("gluster-11.1", &[("start", "start-again.xml")]).start().unwrap();
    replay("gluster-11.1", &[("stop", "stop-not-running.xml")]).stop(false).unwrap();
    for file in ["config-unknown.xml", "checkpoint-bad.txt"] {
        let error = replay("gluster-11.1", &[("config", file)]).set_config("x", "y").unwrap_err();
        assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Misconfigured), "{file}: {error}");
    }
}

#[test]
fn what_is_not_there_is_absent() {
    let absent = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Absent), "{error}");
    };
    let session = replay(
        "gluster-11.1",
        &[
            ("status detail", "status-absent.txt"),
            ("gv2 status", "status-absent-text.txt"),
            ("gv2 stop", "stop-absent.xml"),
            ("gv2 config", "config-absent.xml"),
            ("volume info gv1", "volume-info.xml"),
            ("volume info gv2", "volume-info-absent.xml"),
        ],
    );
    absent(session.status().map(|_| ()));
    absent(session.stop(true));
    absent(session.config().map(|_| ()));
    absent(session.volume_info(Side::Secondary).map(|_| ()));
}

#[test]
fn glusterd_down_is_told_and_at_the_far_side_it_is_not_this_node_s() {
    let session = replay("gluster-11.1", &[("", "glusterd-down.txt")]);
    let error = session.status().unwrap_err();
    assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::GlusterdDown), "{error}");
    let error = session.volume_info(Side::Secondary).unwrap_err();
    assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Unreachable), "{error}");
}

#[test]
fn an_answer_to_another_question_is_unreadable_and_not_empty() {
    let error =
        replay("gluster-11.1", &[("volume info", "config.xml")]).volume_info(Side::Primary).unwrap_err();
    assert!(matches!(&error, Error::Answer(e) if e.problem == AnswerProblem::Missing("volInfo")), "{error}");
    // Rows of another volume are not this session's.
    let session = replay("gluster-11.1", &[("", "volume-info-remote.xml")]);
    assert!(session.volume_info(Side::Primary).is_err());
}

fn log(file: &str) -> LogScan {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/gluster-11.1").join(file);
    LogScan::read(file, std::fs::File::open(path).unwrap()).unwrap()
}

#[test]
fn the_log_of_a_silent_no_op_shows_it_and_that_of_a_healthy_run_shows_nothing() {
    let no_op = log("gsyncd-no-op.log");
    assert_eq!((no_op.batches, no_op.files, no_op.transferred), (4, 18, 0));
    assert_eq!((no_op.no_op_batches, no_op.no_op_files), (4, 18));
    // All the same not one line complains; what is said at a stop is no complaint.
    assert_eq!(no_op.findings, []);
    assert!(no_op.last_error.unwrap().contains("Popen: command returned error"));
    let healthy = log("gsyncd-healthy.log");
    assert!(healthy.batches > 0 && healthy.transferred > 0);
    assert_eq!((healthy.no_op_batches, healthy.findings.len()), (0, 0));
}
