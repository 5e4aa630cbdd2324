//! The command line: what it takes, what it answers, how it ends.

mod check;
mod compare;
mod extract;
mod info;
mod interface;
mod volume;

use assert_cmd::Command;

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
