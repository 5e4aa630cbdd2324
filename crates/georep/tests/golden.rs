//! What Gluster printed, read through a session: recorded from 11.1 and 10.3, and 3.7's vocabulary written from its format.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stillpoint_georep::{
    AnswerProblem, CliErrorKind, CrawlStatus, Error, Limit, LogFindingKind, LogScan, Output, Patience,
    RunError, Runner, Session, Side, VolumeKind, WorkerStatus,
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
        let said = std::fs::read(path).unwrap();
        let complaint = file.ends_with("err");
        // Every exit code there is: it must not matter.
        let code = Some(i32::from(complaint || file.ends_with("txt")));
        let (stdout, stderr) = if complaint { (Vec::new(), said) } else { (said, Vec::new()) };
        Ok(Output { code, stdout, stderr, ..Output::default() })
    }
}

/// The versions whose answers were recorded.
const RECORDED: [&str; 2] = ["gluster-11.1", "gluster-10.3"];

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
    for (version, checkpoint_at) in [
        ("gluster-11.1", "2026-11-23T08:24:21Z"),
        ("gluster-10.3", "2026-11-24T02:05:49Z"),
        ("gluster-3.7", "2026-11-23T08:24:21Z"),
    ] {
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
            // UTC, whatever the local zone.
            assert_eq!(checkpoint.time.unwrap().to_string(), checkpoint_at);
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
        for version in RECORDED {
            assert_eq!(status_of(version, file).all_stopped(), stopped, "{version}/{file}");
        }
    }
}

#[test]
fn a_killed_brick_s_worker_is_faulty() {
    for version in ["gluster-11.1", "gluster-10.3", "gluster-3.7"] {
        let status = status_of(version, "status-brick-down.xml");
        let faulty: Vec<bool> =
            status.rows.iter().map(|r| r.status() == Some(&WorkerStatus::Faulty)).collect();
        assert_eq!(faulty, [false, true, false, false]);
    }
}

#[test]
fn volumes_are_read_and_a_distributed_one_has_a_brick_to_a_subvolume() {
    let answers = [("volume info gv1", "volume-info.xml"), ("volume info gv2", "volume-info-remote.xml")];
    for version in RECORDED {
        let session = replay(version, &answers);
        let near = session.volume_info(Side::Primary).unwrap();
        assert_eq!((near.kind, near.bricks.len(), near.subvolumes()), (VolumeKind::Replicate, 4, 2));
        assert!(near.started && near.sharded());
        assert_eq!(near.shard_size(), Some(4 << 20));
        assert_eq!(near.rollover(), Duration::from_secs(3));
        let far = session.volume_info(Side::Secondary).unwrap();
        // Its distCount says 2.
        assert_eq!((far.kind, far.bricks.len(), far.subvolumes()), (VolumeKind::Distribute, 2, 2));
        assert_eq!(far.switch("features.read-only"), Some(true));
    }
    let old = replay("gluster-3.7", &answers).volume_info(Side::Primary).unwrap();
    assert_eq!((old.kind, old.subvolumes()), (VolumeKind::Replicate, 2));
}

#[test]
fn bricks_that_run_are_told_from_those_that_don_t_and_from_other_processes() {
    for version in RECORDED {
        for (file, online) in
            [("volume-status.xml", [true; 4]), ("volume-status-brick-down.xml", [true, false, true, true])]
        {
            let states = replay(version, &[("volume status", file)]).brick_states(Side::Primary).unwrap();
            assert_eq!(states.iter().map(|s| s.online).collect::<Vec<_>>(), online, "{version}/{file}");
        }
    }
}

#[test]
fn what_waits_to_be_healed_is_seen_and_so_is_a_brick_that_does_not_answer() {
    for (version, waiting) in [("gluster-11.1", 2), ("gluster-10.3", 4)] {
        let info = |file| {
            let answers = [("heal", file), ("volume info gv1", "volume-info.xml")];
            replay(version, &answers).heal_info(Side::Primary).unwrap()
        };
        assert!(info("heal-clean.xml").is_clean());
        let pending = info("heal-pending.xml");
        assert!(!pending.is_clean());
        assert_eq!(pending.bricks[0].pending, Some(waiting));
        assert!(!pending.bricks[1].connected && pending.bricks[1].entries.is_none());
    }
}

#[test]
fn options_are_read_under_either_name() {
    for (version, options) in
        [("gluster-11.1", "--modify-window=-1"), ("gluster-10.3", "--modify-window=-1 --whole-file")]
    {
        let new = replay(version, &[("config", "config.xml")]).config().unwrap();
        assert_eq!(new.switch("secondary-access-mount"), Some(true));
        assert_eq!(new.get("sync-method"), Some("rsync"));
        assert_eq!(new.get("rsync-options"), Some(options));
        assert_eq!(new.checkpoint().unwrap(), None);
    }
    let old = replay("gluster-3.7", &[("config", "config.xml")]).config().unwrap();
    assert_eq!(old.switch("secondary-access-mount"), Some(false));
    assert_eq!(old.spelling("secondary-access-mount"), "slave-access-mount");
    assert_eq!(old.checkpoint().unwrap().unwrap().as_second(), 1_795_422_261);
}

#[test]
fn commands_that_did_nothing_are_told_from_those_that_did() {
    let answers = [("start", "start.xml"), ("stop", "stop.xml"), ("config", "checkpoint-set.xml")];
    for version in RECORDED {
        let session = replay(version, &answers);
        session.start().unwrap();
        session.stop(false).unwrap();
        session.set_config("sync-jobs", "3").unwrap();
        // To start what runs, and to stop what doesn't, is no error.
        replay(version, &[("start", "start-again.xml")]).start().unwrap();
        replay(version, &[("stop", "stop-not-running.xml")]).stop(false).unwrap();
    }
    for (version, file) in [
        ("gluster-11.1", "config-unknown.xml"),
        ("gluster-11.1", "checkpoint-bad.txt"),
        ("gluster-10.3", "config-unknown.xml"),
        ("gluster-10.3", "checkpoint-bad.err"),
    ] {
        let error = replay(version, &[("config", file)]).set_config("x", "y").unwrap_err();
        let misconfigured = matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Misconfigured);
        assert!(misconfigured, "{version}/{file}: {error}");
    }
}

#[test]
fn what_is_not_there_is_absent() {
    let absent = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Absent), "{error}");
    };
    let answers = [
        ("status detail", "status-absent.txt"),
        ("gv2 status", "status-absent-text.txt"),
        ("gv2 stop", "stop-absent.xml"),
        ("gv2 config", "config-absent.xml"),
        ("volume info gv1", "volume-info.xml"),
        ("volume info gv2", "volume-info-absent.xml"),
    ];
    for version in RECORDED {
        let session = replay(version, &answers);
        absent(session.status().map(|_| ()));
        absent(session.stop(true));
        absent(session.config().map(|_| ()));
        absent(session.volume_info(Side::Secondary).map(|_| ()));
    }
}

#[test]
fn glusterd_down_is_told_and_at_the_far_side_it_is_not_this_node_s() {
    for version in RECORDED {
        let session = replay(version, &[("", "glusterd-down.txt")]);
        let error = session.status().unwrap_err();
        assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::GlusterdDown), "{error}");
        let error = session.volume_info(Side::Secondary).unwrap_err();
        assert!(matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Unreachable), "{error}");
    }
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

fn log(version: &str, file: &str) -> LogScan {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(version).join(file);
    LogScan::read(file, std::fs::File::open(path).unwrap()).unwrap()
}

#[test]
fn the_log_of_a_silent_no_op_shows_it_and_that_of_a_healthy_run_shows_nothing() {
    let no_op = log("gluster-11.1", "gsyncd-no-op.log");
    assert_eq!((no_op.batches, no_op.files, no_op.transferred), (4, 18, 0));
    assert_eq!((no_op.no_op_batches, no_op.no_op_files), (4, 18));
    let older = log("gluster-10.3", "gsyncd-no-op.log");
    assert!(older.no_op_batches == 9 && older.no_op_batches == older.batches, "{older:?}");
    // All the same not one line complains; what is said at a stop is no complaint.
    assert_eq!(no_op.findings, []);
    assert!(no_op.last_error.unwrap().contains("Popen: command returned error"));
    for version in RECORDED {
        let healthy = log(version, "gsyncd-healthy.log");
        assert!(healthy.batches > 0 && healthy.transferred > 0);
        assert_eq!((healthy.no_op_batches, healthy.findings.len()), (0, 0));
    }
}

#[test]
fn a_log_that_moves_on_says_so_and_rsync_s_failures_are_counted() {
    let scan = log("gluster-10.3", "gsyncd-moving-on.log");
    let kinds: Vec<_> = scan.findings.iter().map(|finding| finding.kind).collect();
    let (last, tries) = kinds.split_last().unwrap();
    assert_eq!((tries, *last), ([LogFindingKind::ReturnCode; 8].as_slice(), LogFindingKind::MovingOn));
    assert_eq!((scan.batches, scan.no_op_batches), (0, 0));
    // With one retry, of the first walk and of the changelog after it.
    let scan = log("gluster-11.1", "gsyncd-moving-on.log");
    let count = |kind| scan.findings.iter().filter(|f| f.kind == kind).count();
    assert_eq!((count(LogFindingKind::MovingOn), count(LogFindingKind::ReturnCode)), (2, 2));
    assert_eq!(scan.findings.len(), 4);
    assert!(scan.findings.iter().all(|f| f.gfids.is_empty()), "{:#?}", scan.findings);
}

#[test]
fn the_words_of_3_7_s_log_are_read_healthy_and_failing() {
    use LogFindingKind::{EntryFailed, MetaFailed, MovingOn};

    let healthy = log("gluster-3.7", "gsyncd-healthy.log");
    assert_eq!((healthy.batches, healthy.transferred, healthy.sent_bytes), (1, 6, 25_172_990));
    assert_eq!((healthy.no_op_batches, healthy.findings.len()), (0, 0));
    let failing = log("gluster-3.7", "gsyncd-failing.log");
    assert_eq!((failing.no_op_batches, failing.no_op_files), (1, 2));
    let found: Vec<_> = failing.findings.iter().map(|f| (f.kind, f.gfids.len())).collect();
    assert_eq!(found, [(MovingOn, 0), (EntryFailed, 2), (MetaFailed, 1)]);
}

#[test]
fn how_much_room_bricks_have_is_read() {
    let answers = [("volume status gv2 detail", "volume-status-detail-remote.xml")];
    let told = replay("gluster-11.1", &answers).brick_space(Side::Secondary).unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].name.to_string(), "siteB:/bricks/gv2-b0");
    assert!(told.iter().all(|b| b.total == 17_112_760_320 && (1..b.total).contains(&b.free)), "{told:?}");
}
