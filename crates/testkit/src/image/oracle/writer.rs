//! A QEMU that has an image open.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// qemu-io with an image open for writing, and locked. It has to be installed.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Writer {
    /// Opens the qcow2 image at `path`, of which names are looked for in its own directory. Written through, its
    /// tables are in the file when a command is done.
    ///
    /// # Panics
    /// When qemu-io can't be run.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let mut command = Command::new("qemu-io");
        command.args(["-t", "writethrough", "-f", "qcow2"]).arg(path);
        command.current_dir(path.parent().expect("it is in a directory"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it was found and can be run");
        let input = child.stdin.take().expect("it was asked for");
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        Self { child, input, output }
    }

    /// Has it write, by a command such as `write -P 7 0 64k`, and waits until it has. One at a time: it waits for more
    /// even where it has read two.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn write(&mut self, command: &str) {
        writeln!(self.input, "{command}").expect("it reads");
        let mut line = String::new();
        while !line.contains("wrote") {
            line.clear();
            assert!(self.output.read_line(&mut line).expect("it writes") > 0, "qemu-io ended too soon");
        }
    }

    /// Closes the image.
    ///
    /// # Panics
    /// When qemu-io fails.
    pub fn close(mut self) {
        drop(self.input);
        assert!(self.child.wait().expect("it ends").success());
    }
}
