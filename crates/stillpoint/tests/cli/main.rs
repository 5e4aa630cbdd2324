//! The command line: what it takes, what it answers, how it ends.

mod audit;
mod bitmaps;
mod check;
mod compare;
mod crowded;
mod dispersed;
mod export;
mod extract;
mod georep;
mod info;
mod inspect;
mod interface;
mod keys;
mod left;
mod lenient;
mod loops;
mod ls;
mod map;
mod measure;
mod sharded;
mod signals;
mod snapshots;
mod split_brain;
mod volume;

use assert_cmd::Command;
use stillpoint_testkit::image::oracle::QemuImg;

/// The program, without anything of the environment that would change what it does.
fn stillpoint() -> Command {
    let mut command = Command::cargo_bin("stillpoint").expect("built with the tests");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STILLPOINT_")) {
        command.env_remove(name);
    }
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.output().expect("it runs").stdout).expect("text")
}

fn stderr(command: &mut Command) -> String {
    String::from_utf8(command.output().expect("it runs").stderr).expect("text")
}

/// Runs both programs with the same arguments in the same directory: output, messages and exit code are one.
fn same_as_qemu_img(qemu_img: &QemuImg, arguments: &[&str]) {
    let theirs = qemu_img.run(arguments);
    let ours = stillpoint().current_dir(qemu_img.directory()).args(arguments).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&ours.stdout), text(&theirs.stdout), "{arguments:?}");
    assert_eq!(
        text(&ours.stderr),
        text(&theirs.stderr).replace("qemu-img: ", "stillpoint: "),
        "{arguments:?}"
    );
    assert_eq!(ours.status.code(), theirs.status.code(), "{arguments:?}");
}
