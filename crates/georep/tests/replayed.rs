//! Runs over rows that real sessions were recorded to have: which of them are taken for complete, and which never are.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stillpoint_georep::{
    Clock, Error, Limit, NoJournal, Output, RunError, Runner, Session, SyncOptions, Verdict, sync,
};

/// A session that stops and starts, sets checkpoints, and whose rows, once it is started, are always the same.
#[derive(Debug)]
struct Replayed {
    version: &'static str,
    /// The rows of a session that runs.
    rows: &'static str,
    /// Whether they speak of the checkpoint that was set, and not of the one that was recorded.
    of_ours: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    checkpoint: i64,
    now: Duration,
}

/// When the run begins, years after what was recorded.
const BEGAN: i64 = 2_000_000_000;

impl Replayed {
    fn recorded(&self, file: &str) -> String {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(self.version);
        std::fs::read_to_string(dir.join(file)).unwrap()
    }

    fn rows(&self, state: &State) -> String {
        if !state.running {
            return self.recorded("status-stopped.xml");
        }
        let rows = self.recorded(self.rows);
        if !self.of_ours {
            return rows;
        }
        let time = |second| Timestamp::from_second(second).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
        let rows = with(&rows, "checkpoint_time", &time(state.checkpoint));
        with(&rows, "last_synced", &time(state.checkpoint + 9))
    }
}

/// `xml` with the text of each element called `name` that tells a time replaced.
fn with(xml: &str, name: &str, text: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut parts = xml.split(open.as_str());
    let mut new = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (old, rest) = part.split_once(close.as_str()).unwrap();
        let text = if old == "N/A" { old } else { text };
        new += &format!("{open}{text}{close}{rest}");
    }
    new
}

impl Runner for Replayed {
    fn run(&self, argv: &[&str], _limit: &Limit<'_>) -> Result<Output, RunError> {
        let mut state = self.state.lock().unwrap();
        state.now += Duration::from_millis(300);
        let words = argv.join(" ");
        let has = |text: &str| words.contains(text);
        let text = if has("ssh-keyscan") {
            "SSH-2.0-OpenSSH_9.2p1\n".to_owned()
        } else if has("volume info") {
            self.recorded("volume-info.xml")
        } else if has("status detail") {
            self.rows(&state)
        } else if has("config checkpoint now") {
            state.checkpoint = BEGAN + i64::try_from(state.now.as_secs()).unwrap();
            self.recorded("checkpoint-set.xml")
        } else if has("config --xml") {
            let config = self.recorded("config.xml");
            with(&config, "checkpoint", &state.checkpoint.to_string())
        } else if has(" config ") {
            self.recorded("checkpoint-set.xml")
        } else if has(" start") {
            state.running = true;
            self.recorded("start.xml")
        } else if has(" stop") {
            state.running = false;
            self.recorded("stop.xml")
        } else {
            panic!("{words}")
        };
        Ok(Output { code: Some(0), stdout: text.into_bytes(), ..Output::default() })
    }
}

impl Clock for Replayed {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.elapsed()).unwrap();
        Timestamp::from_second(BEGAN).unwrap() + passed
    }

    fn elapsed(&self) -> Duration {
        self.state.lock().unwrap().now
    }

    fn sleep(&self, time: Duration) {
        self.state.lock().unwrap().now += time;
    }
}

/// A run of ten minutes at most, and whether replication runs after it.
fn run(version: &'static str, rows: &'static str, of_ours: bool) -> (Result<Verdict, Error>, bool) {
    let replayed = Arc::new(Replayed { version, rows, of_ours, state: Mutex::default() });
    let clock: Arc<dyn Clock> = replayed.clone();
    let runner: Arc<dyn Runner> = replayed.clone();
    let session = Session::new(runner, "gv1 siteB::gv2".parse().unwrap()).with_clock(clock);
    let mount = tempfile::tempdir().unwrap();
    let options = SyncOptions::new(mount.path(), Duration::from_secs(600));
    let verdict = sync(&session, &options, &NoJournal, &mut |_| {}, &AtomicBool::new(false));
    let running = replayed.state.lock().unwrap().running;
    (verdict, running)
}

const RECORDED: [&str; 2] = ["gluster-11.1", "gluster-10.3"];

#[test]
fn rows_that_speak_of_this_checkpoint_are_complete() {
    for version in RECORDED {
        let (verdict, running) = run(version, "status-active.xml", true);
        assert!(verdict.unwrap().gluster_says_complete && !running, "{version}");
    }
}

#[test]
fn rows_that_are_complete_for_an_earlier_checkpoint_are_not_for_this_one() {
    for version in RECORDED {
        let (verdict, running) = run(version, "status-active.xml", false);
        let error = verdict.unwrap_err();
        // They wait for changes and don't move: restarted, and then given up.
        assert!(matches!(error, Error::Starved { restarts: 2, .. }), "{version}: {error}");
        assert!(!running);
    }
}

#[test]
fn as_many_complete_as_active_is_not_complete_where_both_are_none() {
    for version in RECORDED {
        for rows in
            ["status-initializing.xml", "status-created.xml", "status-stopped.xml", "status-paused.xml"]
        {
            let (verdict, running) = run(version, rows, true);
            let error = verdict.expect_err(rows);
            assert!(
                matches!(error, Error::Deadline { .. } | Error::Faulty { .. }),
                "{version} {rows}: {error}"
            );
            assert!(error.to_string().contains("no worker is Active in subvolume 0"), "{rows}: {error}");
            assert!(!running, "{rows}");
        }
    }
}

#[test]
fn a_brick_that_is_down_is_never_complete_whatever_the_others_say() {
    for version in RECORDED {
        let (verdict, running) = run(version, "status-brick-down.xml", true);
        let error = verdict.unwrap_err();
        assert!(
            matches!(&error, Error::Faulty { bricks, .. } if bricks.contains("b1")),
            "{version}: {error}"
        );
        assert!(!running);
    }
}
