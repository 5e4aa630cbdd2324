//! qemu-img and QEMU as oracles, where they are installed.

mod writer;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub use writer::Writer;

/// Set to `1`, it makes a missing oracle an error instead of a test that is skipped.
pub const REQUIRE: &str = "STILLPOINT_REQUIRE_ORACLES";

/// The program qemu-img, run in one directory.
#[derive(Debug, Clone)]
pub struct QemuImg {
    directory: PathBuf,
}

/// Whether `program` can be run; says so where it can't.
///
/// # Panics
/// When it can't and [`REQUIRE`] says that it must.
#[must_use]
pub fn available(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        lack(program);
    }
    found
}

/// Says that the test is skipped for want of `what`.
///
/// # Panics
/// When [`REQUIRE`] says that it must be there.
pub fn lack(what: &str) {
    let required = std::env::var_os(REQUIRE).is_some_and(|value| value == "1");
    assert!(!required, "{REQUIRE}=1, but there is no {what}");
    say_skipped(what);
}

/// Says that a test is skipped, past the test harness, which would keep what `eprintln` writes to itself.
fn say_skipped(program: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Nowhere else to say it.
    let _ = writeln!(std::io::stderr(), "{test}: skipped: no {program}");
}

impl QemuImg {
    /// qemu-img in `directory`, or `None` where it isn't installed: the test is skipped, and says so.
    ///
    /// # Panics
    /// When it is missing and [`REQUIRE`] says that it must be there.
    #[must_use]
    pub fn find(directory: &Path) -> Option<Self> {
        available("qemu-img").then(|| Self::at(directory))
    }

    /// qemu-img in `directory`, where it is known to be installed.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where it runs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs it with `arguments`.
    ///
    /// # Panics
    /// When it can't be run at all.
    pub fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Output {
        Command::new("qemu-img")
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .expect("qemu-img was found and can be run")
    }

    /// Runs it and gives its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn output<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Vec<u8> {
        let output = self.run(arguments);
        assert!(output.status.success(), "qemu-img failed: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Has qemu-io run `commands` on the image that `open` names, as QEMU's programs take it: `["-f", "qcow2", NAME]`.
    ///
    /// # Panics
    /// When it fails, or one of the commands does.
    pub fn io<S: AsRef<OsStr>>(&self, open: &[S], commands: &[&str]) {
        let output = Command::new("qemu-io")
            .args(commands.iter().flat_map(|command| ["-c", command]))
            .args(open)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .expect("qemu-io was found and can be run");
        // It tells a request that failed on stdout, and succeeds all the same.
        let said = String::from_utf8_lossy(&output.stdout);
        let well = output.status.success() && output.stderr.is_empty() && !said.contains("failed");
        assert!(well, "{commands:?}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes the image `name` with `options` for `-o` (may be empty) and a size.
    ///
    /// # Panics
    /// When it fails.
    pub fn create(&self, name: impl AsRef<OsStr>, options: &str, size: &str) {
        // The secret is there for images that are encrypted; others don't use it.
        let arguments = ["create", "-q", "-f", "qcow2", "--object", "secret,id=key,data=still"];
        let mut arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        if !options.is_empty() {
            arguments.extend([OsStr::new("-o"), OsStr::new(options)]);
        }
        arguments.extend([name.as_ref(), OsStr::new(size)]);
        self.output(arguments);
    }
}

/// Has a real QEMU, without machine or memory, save its state into the image at `path`, once for each name.
/// `false` where QEMU isn't installed; it is optional even where oracles are required.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn save_vm_state(path: &Path, names: &[&str]) -> bool {
    let drive = format!("if=none,format=qcow2,file={}", path.display());
    let spawned = Command::new("qemu-system-x86_64")
        .args(["-M", "none", "-accel", "tcg", "-display", "none", "-nodefaults", "-monitor", "stdio"])
        .args(["-drive", &drive])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        say_skipped("qemu-system-x86_64");
        return false;
    };
    let mut monitor = child.stdin.take().expect("it was asked for");
    for name in names {
        writeln!(monitor, "savevm \"{name}\"").expect("the monitor reads");
    }
    writeln!(monitor, "quit").expect("the monitor reads");
    drop(monitor);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "QEMU failed: {}", String::from_utf8_lossy(&output.stderr));
    true
}
