//! qemu-img's check of an image, and ours, side by side.

use std::path::Path;
use std::process::Command;

use stillpoint_qcow2::check::{CheckOptions, CheckReport, Failure};
use stillpoint_testkit::image::oracle::{QemuImg, available};

/// What a check says: exit code, stdout, stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// qemu-img with qemu-io, which makes the images; `None` where one is missing.
pub(crate) fn find(directory: &Path) -> Option<QemuImg> {
    let qemu_img = QemuImg::find(directory)?;
    available("qemu-io").then_some(qemu_img)
}

/// Runs qemu-io's `commands` on the image `name`.
pub(crate) fn qemu_io(directory: &Path, name: &str, commands: &[&str]) {
    let mut command = Command::new("qemu-io");
    command.args(["-f", "qcow2"]).args(commands.iter().flat_map(|command| ["-c", command])).arg(name);
    let output = command.current_dir(directory).output().expect("qemu-io was found and can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What qemu-img says of the image `name`.
pub(crate) fn theirs(qemu_img: &QemuImg, name: &str, json: bool) -> Answer {
    let mut arguments = vec!["check", "-U", "-f", "qcow2"];
    arguments.extend(json.then_some("--output=json"));
    arguments.push(name);
    let output = qemu_img.run(&arguments);
    Answer {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text").replace("qemu-img: ", ""),
    }
}

/// What we say of the image with these bytes, as the command line puts it.
pub(crate) fn ours(bytes: &[u8], name: &str, json: bool) -> Answer {
    let could_not_open = |why: String| Answer {
        code: 1,
        stdout: String::new(),
        stderr: format!("Could not open '{name}': {why}\n"),
    };
    let options = CheckOptions::default().max_findings(10_000_000);
    let report = match CheckReport::gather(bytes, &options) {
        Ok(report) => report,
        Err(error) => return could_not_open(error.qemu_text().unwrap_or_else(|| error.to_string())),
    };
    let mut stderr = String::new();
    if report.stale_bitmaps {
        stderr.push_str(
            "warning: a program lacking bitmap support modified this file, so all bitmaps are now considered \
             inconsistent\nSome clusters may be leaked, run 'qemu-img check -r' on the image file to fix.",
        );
    }
    report.qemu_lines().for_each(|line| stderr.push_str(&format!("{line}\n")));
    let (code, stdout) = match &report.failure {
        Some(Failure::BitmapTable { name: bitmap, in_use: false, .. }) => {
            return could_not_open(format!(
                "Could not read bitmap_table table from image for bitmap '{bitmap}': Invalid argument"
            ));
        }
        Some(failure) => {
            let (cause, end) = failure.qemu_texts().unwrap_or_else(|| panic!("{failure}"));
            cause.into_iter().for_each(|line| stderr.push_str(&format!("{line}\n")));
            stderr.push_str(&format!("{end}\n"));
            (1, String::new())
        }
        None => {
            let stdout = if json { format!("{}\n", report.to_json(name)) } else { report.to_text() };
            let code = match &report {
                report if report.check_errors > 0 => 1,
                report if report.corruptions > 0 => 2,
                report if report.leaks > 0 => 3,
                _ => 0,
            };
            if code == 1 {
                stderr.push_str("Check failed\n");
            }
            (code, stdout)
        }
    };
    Answer { code, stdout, stderr }
}

/// Where the two differ, if they do.
pub(crate) fn difference(qemu_img: &QemuImg, name: &str) -> Option<String> {
    let bytes = std::fs::read(qemu_img.directory().join(name)).expect("it is there");
    [false, true].into_iter().find_map(|json| {
        let (ours, theirs) = (ours(&bytes, name, json), theirs(qemu_img, name, json));
        (ours != theirs).then(|| {
            let short = |answer: &Answer| {
                let stderr: String = answer.stderr.lines().take(40).map(|line| format!("{line}\n")).collect();
                format!("rc {}\n{}\n{stderr}", answer.code, answer.stdout)
            };
            format!("ours: {}\ntheirs: {}", short(&ours), short(&theirs))
        })
    })
}
