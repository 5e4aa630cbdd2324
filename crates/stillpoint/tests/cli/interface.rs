//! Help, exit codes, colours, pipes.

use std::process::Stdio;

use crate::{stderr, stdout, stillpoint};

const VERBS: [&str; 18] = [
    "info",
    "inspect",
    "check",
    "map",
    "measure",
    "compare",
    "extract",
    "snapshots",
    "bitmaps",
    "ls",
    "locate",
    "export",
    "audit",
    "verify",
    "run",
    "georep",
    "recover",
    "version",
];

/// What `run` must be given.
const RUN: [&str; 11] = [
    "run",
    "--domain",
    "vm1",
    "--session",
    "gv1 siteB::gv2",
    "--mount",
    "/nowhere/gv1",
    "--primary",
    "/nowhere/a",
    "--secondary",
    "/nowhere/b",
];

#[test]
fn help_names_every_verb_and_its_exit_codes() {
    let help = stdout(stillpoint().arg("--help"));
    for verb in VERBS {
        assert!(help.contains(verb), "{verb}: {help}");
    }
    for hidden in ["generate", "guard"] {
        assert!(!help.contains(hidden), "{hidden}");
    }
    assert!(help.contains("4 needs recovery"), "{help}");
}

#[test]
fn every_verb_has_help_with_an_example() {
    for verb in VERBS {
        let mut command = stillpoint();
        command.args([verb, "--help"]).assert().code(0);
        let help = stdout(&mut command);
        assert!(help.contains("Example") && help.contains(&format!("stillpoint {verb} ")), "{help}");
    }
}

#[test]
fn every_verbs_help_begins_with_what_the_list_of_verbs_says_of_it() {
    let list = stdout(stillpoint().arg("--help"));
    for verb in VERBS {
        let mut listed =
            list.lines().filter_map(|line| line.strip_prefix("  ")?.strip_prefix(verb)?.strip_prefix(' '));
        let help = stdout(stillpoint().args([verb, "--help"]));
        // The list's line may go on in the next.
        let begins = listed.next().is_some_and(|listed| help.starts_with(listed.trim()));
        assert!(begins, "{verb}: {help}");
    }
}

#[test]
fn what_a_verb_takes_is_told_alike_wherever_it_is_named() {
    for verb in VERBS {
        let help = stdout(stillpoint().args([verb, "--help"]));
        assert_eq!(help, stdout(stillpoint().args(["--color", "never", verb, "--help"])), "{verb}");
        assert_eq!(help, stdout(stillpoint().args(["help", verb])), "{verb}");
    }
}

#[test]
fn every_option_of_run_can_be_set_by_the_environment() {
    let help = stdout(stillpoint().args(["run", "--help"]));
    let without = help
        .split("\n      --")
        .chain(help.split("\n  -").skip(1))
        .skip(1)
        .filter(|option| !option.contains("[env: STILLPOINT_"))
        .map(|option| option.split_whitespace().next().unwrap_or_default().to_owned())
        .filter(|name| {
            !["h,", "h", "-help", "V,", "primary-brick", "secondary-brick"].contains(&name.as_str())
        });
    assert_eq!(without.collect::<Vec<_>>(), Vec::<String>::new());
    stillpoint().args(&RUN[..1]).env("STILLPOINT_DOMAIN", "vm1").assert().code(2);
}

#[test]
fn a_wrong_command_line_exits_2_and_that_of_info_1() {
    for args in [&[][..], &["nothing"], &["run"], &["locate", "x"], &["recover", "--what"], &["verify", "a"]]
    {
        stillpoint().args(args).assert().code(2);
    }
    for args in [&["info"][..], &["info", "--output", "xml", "x"], &["-v", "info"]] {
        stillpoint().args(args).assert().code(1);
    }
    for args in [
        ["locate", "--map", "no-mapping", "a", "0"],
        ["locate", "--volume", "v", "a", "much"],
        ["locate", "--brick", "b", "--volume=v", "a"],
    ] {
        stillpoint().args(args).assert().code(2);
    }
}

#[test]
fn sessions_durations_and_sizes_are_checked_before_anything_is_done() {
    for wrong in
        [["--deadline", "soon"], ["--deadline", "0s"], ["--bandwidth", "fast"], ["--quiesce", "maybe"]]
    {
        stillpoint().args(RUN).args(wrong).assert().code(2);
    }
    let mut session = RUN;
    session[4] = "gv1 siteB";
    let complaint = stderr(stillpoint().args(session));
    assert!(complaint.contains("PRIMARY-VOLUME SECONDARY-HOST::SECONDARY-VOLUME"), "{complaint}");
    let complaint = stderr(stillpoint().args(RUN).args(["--override-check", "everything"]));
    assert!(complaint.contains("everything"), "{complaint}");
}

#[test]
fn a_hypervisor_that_is_not_there_is_a_failure_that_says_so() {
    let state = tempfile::tempdir().expect("a directory");
    let mut command = stillpoint();
    command.args(RUN).arg("--state-dir").arg(state.path());
    command.args(["--backend", "virsh", "--connect", "nothing:///here"]).env("PATH", "/nowhere");
    command.assert().code(1);
    assert!(stderr(&mut command).contains("nothing:///here"), "{}", stderr(&mut command));
    assert!(stdout(&mut command).is_empty());
}

#[test]
fn version_tells_backends_and_formats() {
    let version: serde_json::Value =
        serde_json::from_str(&stdout(stillpoint().args(["version", "--output", "json"]))).expect("JSON");
    assert_eq!(version["schema_version"], 1);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["backends"][0], "virsh");
    assert!(stdout(stillpoint().arg("version")).contains("backends: virsh"));
    assert!(stdout(stillpoint().arg("--version")).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn recovery_of_nothing_is_done() {
    let state = tempfile::tempdir().expect("a directory");
    let mut command = stillpoint();
    command.arg("recover").env("STILLPOINT_STATE_DIR", state.path().join("new"));
    command.assert().code(0).stdout("nothing to recover\n");
    let report: serde_json::Value =
        serde_json::from_str(&stdout(command.args(["--output", "json", "--dry-run"]))).expect("JSON");
    assert_eq!(report, serde_json::json!({"schema_version": 1, "dry_run": true, "runs": []}));
}

#[test]
fn a_journal_that_was_tampered_with_needs_an_operator() {
    let state = tempfile::tempdir().expect("a directory");
    let run = state.path().join("runs/20261123T051234Z-4f1c");
    std::fs::create_dir_all(&run).expect("a directory");
    std::fs::write(run.join("journal"), "{\"sum\":\"00\",\"format\":\"stillpoint journal\"}\n")
        .expect("written");
    let mut command = stillpoint();
    command.args(["recover", "--state-dir"]).arg(state.path());
    command.assert().code(6);
    assert!(stderr(&mut command).contains("line 1"), "{}", stderr(&mut command));
}

#[test]
fn man_pages_and_completions_come_from_the_same_definition() {
    let dir = tempfile::tempdir().expect("a directory");
    stillpoint().args(["generate", "man"]).arg(dir.path()).assert().code(0);
    for verb in VERBS {
        assert!(dir.path().join(format!("stillpoint-{verb}.1")).exists(), "{verb}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let text = stdout(stillpoint().args(["generate", "completions", shell]));
        assert!(text.contains("overlay-dir"), "{shell}");
    }
}

#[test]
fn who_can_t_be_told_is_no_reason_to_panic() {
    for line in [vec!["-vvv", "ls"], vec!["-vvv", "info", "/nonexistent"], vec!["recover", "--nonsense"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        let program = assert_cmd::cargo::cargo_bin!("stillpoint");
        let status = std::process::Command::new(program).args(&line).stderr(full).status().expect("it runs");
        assert!(matches!(status.code(), Some(1 | 2)), "{line:?}: {status}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    // Longer than a pipe holds.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_stillpoint"))
        .args(["generate", "completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn complaints_are_coloured_only_when_asked_for_or_on_a_terminal() {
    let failing = |when: &[&str]| {
        let mut command = stillpoint();
        command.args(when).args(["info", "/nowhere/at/all"]);
        stderr(&mut command)
    };
    assert!(!failing(&[]).contains('\x1b'));
    assert!(!failing(&["--color", "never"]).contains('\x1b'));
    assert!(failing(&["--color", "always"]).contains('\x1b'));
}

/// Runs it at a terminal of its own, as script(1) makes one. `None` where that isn't installed.
fn at_a_terminal(command: &str, variable: Option<(&str, &str)>) -> Option<String> {
    let mut script = std::process::Command::new("script");
    script.args(["-q", "-e", "-c", command, "/dev/null"]).stdin(Stdio::null());
    script.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("CI");
    script.envs(variable);
    let Ok(output) = script.output() else {
        println!("skipped: no script");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn no_color_is_heeded_at_a_terminal() {
    let program = env!("CARGO_BIN_EXE_stillpoint");
    for wrong in ["info /nowhere/at/all", "locate --nonsense"] {
        let command = format!("{program} {wrong}");
        let Some(coloured) = at_a_terminal(&command, None) else { return };
        assert!(coloured.contains('\x1b'), "{coloured:?}");
        let plain = at_a_terminal(&command, Some(("NO_COLOR", "1"))).expect("it ran before");
        assert!(!plain.is_empty() && !plain.contains('\x1b'), "{plain:?}");
        let never = at_a_terminal(&format!("{program} --color never {wrong}"), None).expect("it ran before");
        assert!(!never.is_empty() && !never.contains('\x1b'), "{never:?}");
    }
}
