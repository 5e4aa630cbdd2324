//! Debian packages that a step needs.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell::Tee;

/// Whether this is Debian, and 12 or later.
pub(crate) fn is_debian() -> bool {
    is_debian_12_or_later(&std::fs::read_to_string("/etc/os-release").unwrap_or_default())
}

/// The same by what `os-release(5)` says. Testing and unstable have no number yet.
fn is_debian_12_or_later(text: &str) -> bool {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"'))
    };
    let old =
        value("VERSION_ID").and_then(|version| version.parse().ok()).is_some_and(|number: u32| number < 12);
    value("ID") == Some("debian") && !old
}

/// Whether we may change the machine.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Those of `packages` that are not installed, in their order.
pub(crate) fn missing(packages: &[&str]) -> Vec<String> {
    packages.iter().filter(|package| !is_installed(package)).map(ToString::to_string).collect()
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Status}", package])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success() && output.stdout == b"installed")
}

/// Makes sure of `packages`: says what is missing, and installs it where that is ours to do.
pub(crate) fn ensure(tee: &mut Tee, packages: &[&str]) -> Result<()> {
    if !is_debian() {
        // Other systems name them otherwise; what needs them says so itself.
        tee.say(&format!("not Debian: taking for granted what Debian calls {}", packages.join(" ")))?;
        return Ok(());
    }
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root() {
        bail!("Debian packages are missing; as root: apt-get install --no-install-recommends {list}");
    }
    tee.say(&format!("installing the Debian packages {list}"))?;
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        command
    };
    let install: Vec<&str> = ["install", "-y", "-q", "--no-install-recommends"]
        .into_iter()
        .chain(missing.iter().map(String::as_str))
        .collect();
    if !tee.status(&mut apt(&install))?.success() {
        // A machine that never asked its mirror knows of no packages.
        tee.run(&mut apt(&["update", "-q"])).context("the package lists can't be had")?;
        tee.run(&mut apt(&install)).with_context(|| format!("{list} can't be installed"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_is_told_by_its_name_and_number() {
        let release =
            |id: &str, version: &str| format!("PRETTY_NAME=\"x\"\nID={id}\n{version}\nID_LIKE=debian\n");
        for (id, version, wanted) in [
            ("debian", "VERSION_ID=\"12\"", true),
            ("debian", "VERSION_ID=13", true),
            ("debian", "", true),
            ("debian", "VERSION_ID=\"11\"", false),
            ("ubuntu", "VERSION_ID=\"24.04\"", false),
        ] {
            assert_eq!(is_debian_12_or_later(&release(id, version)), wanted, "{id} {version}");
        }
        assert!(!is_debian_12_or_later(""));
    }
}
