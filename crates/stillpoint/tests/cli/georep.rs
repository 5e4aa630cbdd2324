//! Geo-replication's verbs, with a `gluster` that answers as the real one was recorded, and remembers whether it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::stillpoint;

const SESSION: [&str; 2] = ["--session", "gv1 siteB::gv2"];

/// Answers commands from what 11.1 was recorded to say. `running` is there while the session runs; a checkpoint is
/// complete at once unless `never` is there.
const GLUSTER: &str = r#"#!/bin/bash
here=$(dirname "$(dirname "$0")")
recorded=RECORDED
echo "$*" >> "$here/commands"
case "$*" in
  *"volume info gv1"*) sed "s,</options>,$(cat "$here/volume-options" 2>/dev/null)</options>," "$recorded/volume-info.xml";;
  *"volume info gv2"*) cat "$recorded/volume-info-remote.xml";;
  *"volume status gv2 detail"*) cat "$recorded/volume-status-detail-remote.xml";;
  *"volume status gv1"*) cat "$recorded/volume-status.xml";;
  *"heal gv1 info"*) cat "$recorded/heal-clean.xml";;
  *"volume set "*) cat "$recorded/stop.xml"; set -- "$@"; echo "<option><name>$5</name><value>$6</value></option>" >> "$here/volume-options";;
  *"config checkpoint now"*) date +%s > "$here/checkpoint"; cat "$recorded/checkpoint-set.xml";;
  *" config secondary-access-mount true"*) rm -f "$here/access-off"; cat "$recorded/checkpoint-set.xml";;
  *" config --xml"*)
    sed -e "s,<checkpoint>0,<checkpoint>$(cat "$here/checkpoint" 2>/dev/null || echo 0)," \
      -e "s,<secondary_access_mount>true,<secondary_access_mount>$([ -e "$here/access-off" ] && echo false || echo true)," \
      "$recorded/config.xml";;
  *" config "*) cat "$recorded/checkpoint-set.xml";;
  *" start --xml"*) : > "$here/running"; echo "[$(date -u '+%Y-%m-%d %H:%M:%S.%6N')] $(cat "$here/says")" >> "$here/gsyncd.log"; cat "$recorded/start.xml";;
  *" stop --xml"*|*" stop force --xml"*) rm -f "$here/running"; cat "$recorded/stop.xml";;
  *"status detail"*)
    if [ ! -e "$here/running" ]; then cat "$recorded/status-stopped.xml"
    elif [ -e "$here/never" ]; then cat "$recorded/status-initializing.xml"
    else
      at=$(cat "$here/checkpoint" 2>/dev/null || echo 1795422261)
      when() { date -u -d "@$1" '+%Y-%m-%d %H:%M:%S'; }
      sed -e "s,<checkpoint_time>[^<]*,<checkpoint_time>$(when "$at")," \
        -e "s,<last_synced>[^<]*,<last_synced>$(when $((at + 1)))," "$recorded/status-active.xml"
    fi;;
  *) echo "unrecognized command";;
esac
"#;

const HEALTHY: &str = "I [resource(worker /b2):1530:rsync] SSH: rsync performance \
    [{data=Number of files: 10 (reg: 6, dir: 4), Number of regular files transferred: 6, Total file size: 25,165,824 \
    bytes, Total transferred file size: 0 bytes, Literal data: 0 bytes, Matched data: 0 bytes, Total bytes sent: \
    25,168,260, Total bytes received: 124, sent 1,260 bytes  received 124 bytes  2,544.00 bytes/sec}]\n";

struct Fake {
    dir: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        let fake = Self { dir: tempfile::tempdir().expect("a directory") };
        fs::create_dir_all(fake.path("bin")).expect("made");
        fs::create_dir_all(fake.path("mount")).expect("made");
        let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/../georep/tests/recorded/gluster-11.1");
        fs::write(fake.path("bin/gluster"), GLUSTER.replace("RECORDED", recorded)).expect("written");
        fs::write(fake.path("bin/ssh-keyscan"), "#!/bin/sh\necho SSH-2.0\n").expect("written");
        for program in ["bin/gluster", "bin/ssh-keyscan"] {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(fake.path(program), mode).expect("permitted");
        }
        fs::write(fake.path("says"), HEALTHY).expect("written");
        let off = "<option><name>performance.write-behind</name><value>off</value></option>";
        fs::write(fake.path("volume-options"), off).expect("written");
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn commands(&self) -> String {
        fs::read_to_string(self.path("commands")).unwrap_or_default()
    }

    fn path_variable(&self) -> String {
        format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default())
    }

    /// Runs a verb, and gives its exit code, stdout and stderr.
    fn run(&self, verb: &str, more: &[&str]) -> (i32, String, String) {
        let mut command = stillpoint();
        command.args(["georep", verb]).args(SESSION).args(more).env("PATH", self.path_variable());
        if verb == "sync" {
            command.args(["--rollover", "100ms", "--deadline", "60s"]);
            command.arg("--mount").arg(self.path("mount")).arg("--state-dir").arg(self.path("state"));
        }
        if ["sync", "doctor"].contains(&verb) {
            command.arg("--log").arg(self.path("gsyncd.log"));
        }
        let output = command.output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("it ended"), text(output.stdout), text(output.stderr))
    }

    fn json(&self, verb: &str, more: &[&str]) -> (i32, Value) {
        let more: Vec<&str> = more.iter().chain(&["--output", "json"]).copied().collect();
        let (code, out, err) = self.run(verb, &more);
        (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")))
    }
}

#[test]
fn status_is_a_row_for_each_brick_in_words_and_as_json() {
    let fake = Fake::new();
    fs::write(fake.path("running"), "").expect("written");
    let (code, text, _) = fake.run("status", &[]);
    assert_eq!(code, 0);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("set  brick "), "{text}");
    let words: Vec<&str> = lines[4].split_whitespace().collect();
    let expected = [
        "1",
        "siteA:/bricks/gv1-b3",
        "Active",
        "changelog",
        "2026-11-23T08:24:22Z",
        "0",
        "2026-11-23T08:24:21Z",
        "reached",
    ];
    assert_eq!(words, expected);
    let (code, report) = fake.json("status", &[]);
    assert_eq!((code, &report["schema_version"], &report["stopped"]), (0, &1.into(), &false.into()));
    assert_eq!(report["session"], "gv1 siteB::gv2");
    assert_eq!(report["rows"][3]["worker"]["last_synced"], "2026-11-23T08:24:22Z");
}

#[test]
fn a_session_that_can_t_be_asked_about_is_a_failure_that_says_why() {
    let mut command = stillpoint();
    command.args(["georep", "status"]).args(SESSION).env("PATH", "/nowhere");
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can't run \"gluster\""));
    // The same behind a prefix, whose words are its own.
    let fake = Fake::new();
    let (code, _, err) = fake.run("status", &["--via", "env -u HOME"]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = fake.run("status", &["--via", " "]);
    assert!(code == 2 && err.contains("at least one word"), "{err}");
}

#[test]
fn the_doctor_tells_what_it_saw_why_it_matters_and_what_to_do() {
    let fake = Fake::new();
    fs::write(fake.path("access-off"), "").expect("written");
    let (code, text, _) = fake.run("doctor", &[]);
    assert_eq!(code, 6, "{text}");
    let mut lines = text.lines();
    // The worst comes first.
    assert_eq!(
        lines.next(),
        Some("refused: secondary-access-mount: secondary-access-mount is off"),
        "{text}"
    );
    assert!(lines.next().is_some_and(|l| l.contains("looks at no file")), "{text}");
    assert_eq!(
        lines.next(),
        Some(
            "  set right by: gluster volume geo-replication gv1 siteB::gv2 config secondary-access-mount true"
        )
    );
    assert!(text.contains("discards"), "{text}");
    assert!(!fake.commands().contains("config secondary"), "nothing is changed without --fix");

    let (code, report) = fake.json("doctor", &[]);
    assert_eq!((code, &report["schema_version"]), (6, &1.into()));
    let findings = report["findings"].as_array().expect("a list");
    let finding = findings.iter().find(|f| f["what"] == "secondary-access-mount").expect("found");
    assert_eq!(finding["severity"], "refuse");
    assert_eq!(finding["fix"]["of"], "session");
    assert!(finding["seen"].is_string() && finding["matters"].is_string());
    assert!(report["looked_at"].as_array().expect("a list").contains(&"write-behind".into()));
}

#[test]
fn the_doctor_sets_right_what_it_may_and_nothing_else() {
    let fake = Fake::new();
    fs::write(fake.path("access-off"), "").expect("written");
    fs::write(fake.path("volume-options"), "").expect("written");
    let (code, text, _) = fake.run("doctor", &["--fix", "--only", "secondary-access-mount"]);
    assert!(text.starts_with("set right: the session's secondary-access-mount to 'true'"), "{text}");
    assert!(!text.contains("refused: secondary-access-mount"), "{text}");
    // What was not allowed is still there.
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("refused: write-behind"), "{text}");
    assert!(!fake.commands().contains("rsync-options"), "{}", fake.commands());
    let (_, report) = fake.json("doctor", &["--fix"]);
    assert!(!fake.commands().contains("volume set"), "{}", fake.commands());
    assert!(fake.commands().contains("config rsync-options  --modify-window=-1 --whole-file"));
    assert_eq!(report["fixed"][0]["what"], serde_json::json!(["whole-file"]));
    let (_, text, _) = fake.run("doctor", &["--fix", "--fix-volume"]);
    assert!(fake.commands().contains("volume set gv1 performance.write-behind off"), "{}", fake.commands());
    assert!(!text.contains("write-behind is on"), "{text}");
    for wrong in [&["--fix-volume"][..], &["--only", "whole-file"]] {
        assert_eq!(fake.run("doctor", wrong).0, 2, "{wrong:?} without --fix");
    }
    let (code, _, err) = fake.run("doctor", &["--fix", "--only", "everything"]);
    assert!(code == 2 && err.contains("everything"), "{err}");
}

#[test]
fn a_run_that_is_believed_says_why_and_leaves_replication_stopped() {
    let fake = Fake::new();
    let (code, report) = fake.json("sync", &[]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!((&report["schema_version"], &report["believable"]), (&1.into(), &true.into()));
    assert_eq!(report["replication"], "stopped");
    assert_eq!(report["verdict"]["gluster_says_complete"], true);
    assert!(!fake.has("running"));
    let read = report["verdict"]["evidence"].as_array().expect("a list");
    let read = read.iter().find(|e| e["evidence"] == "log-read").expect("the log was read");
    assert_eq!(read["sent_bytes"], 25_168_260);
}

#[test]
fn a_checkpoint_that_is_a_lie_exits_3_and_says_what_speaks_against_it() {
    let fake = Fake::new();
    let no_op =
        HEALTHY.replace("transferred: 6", "transferred: 0").replace("received: 124,", "received: 12,");
    fs::write(fake.path("says"), no_op).expect("written");
    fs::write(fake.path("running"), "").expect("written");
    let (code, text, _) = fake.run("sync", &["--after-run", "as-found"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.lines().next().is_some_and(|l| l.ends_with("NOT TO BE BELIEVED")), "{text}");
    assert!(text.contains("against it: ") && text.contains("looked at none"), "{text}");
    assert!(text.ends_with("replication was left running\n") && fake.has("running"), "{text}");
}

#[test]
fn what_is_refused_is_not_run_unless_it_is_overridden_by_name() {
    let fake = Fake::new();
    fs::write(fake.path("access-off"), "").expect("written");
    let (code, out, err) = fake.run("sync", &[]);
    assert_eq!(code, 6, "{out}{err}");
    assert!(err.contains("refused: secondary-access-mount"), "{err}");
    assert!(!fake.commands().contains(" start "), "{}", fake.commands());
    let (_, report) = fake.json("sync", &[]);
    assert_eq!((&report["believable"], &report["replication"]), (&false.into(), &"untouched".into()));
    assert!(report["error"].as_str().is_some_and(|e| e.contains("secondary-access-mount")), "{report:#}");
    let (code, text, _) = fake.run("sync", &["--override-check", "secondary-access-mount"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("warning: secondary-access-mount"), "{text}");
}

#[test]
fn a_second_run_is_told_who_has_the_session_and_a_signal_stops_replication() {
    let fake = Fake::new();
    fs::write(fake.path("never"), "").expect("written");
    let mut first = std::process::Command::new(env!("CARGO_BIN_EXE_stillpoint"));
    first.args(["georep", "sync"]).args(SESSION).args(["--rollover", "100ms", "--log"]);
    first.arg(fake.path("gsyncd.log")).arg("--mount").arg(fake.path("mount"));
    first.arg("--state-dir").arg(fake.path("state")).env("PATH", fake.path_variable());
    let mut child = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    while !fake.has("running") {
        assert!(child.try_wait().expect("a child").is_none(), "it ended before it started replication");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (code, out, err) = fake.run("sync", &[]);
    assert_eq!(code, 5, "{out}{err}");
    assert!(err.contains(&format!("process {}", child.id())), "{err}");
    assert!(fake.has("running"), "the second run stopped the first one's replication");

    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("which stops replication") && said.contains("cancelled"), "{said}");
    assert!(!fake.has("running"));
}

#[test]
fn a_resync_that_can_t_know_who_writes_does_nothing() {
    let fake = Fake::new();
    let disk = fake.path("mount/disk");
    fs::write(&disk, [7; 8192]).expect("written");
    let before = fs::metadata(&disk).and_then(|m| m.modified()).expect("a time");
    let resync = |more: &[&str]| {
        let mut command = stillpoint();
        command.args(["georep", "resync"]).args(SESSION).arg("--mount").arg(fake.path("mount"));
        command.arg("--state-dir").arg(fake.path("state")).args(more).env("PATH", fake.path_variable());
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // Not without a domain, not without a hypervisor that knows it, and not of nothing.
    assert_eq!(resync(&["disk"]).0, Some(2));
    assert_eq!(resync(&["--domain", "vm1"]).0, Some(2));
    let hypervisor = ["--domain", "vm1", "--backend", "virsh", "--connect", "nothing:///here"];
    let (code, said) = resync(&[&hypervisor[..], &["disk"]].concat());
    assert_eq!(code, Some(1), "{said}");
    for wrong in [&["--shards", "a", "disk"][..], &["--shards", "0", "disk", "other"]] {
        let (code, said) = resync(&[&hypervisor[..], wrong].concat());
        assert!(code == Some(2) && said.contains("--shards"), "{said}");
    }
    assert_eq!(fs::metadata(&disk).and_then(|m| m.modified()).expect("a time"), before);
}
