//! A log on another node, read through a [`Runner`].

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{LogMark, LogSource};
use crate::cli::clip;
use crate::name::SessionName;
use crate::runner::{Limit, Output, Runner};

/// How long a command there may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How much is fetched at a time: half of what a runner keeps of an answer.
const PIECE: u64 = 8 << 20;

/// A log on a node where a [`Runner`] runs commands: `stat`, `dd` and `find` of coreutils and findutils.
#[derive(Clone, Debug)]
pub struct RunnerLog {
    runner: Arc<dyn Runner>,
    place: String,
    path: String,
}

impl RunnerLog {
    /// The log at `path`, an absolute one, on the node that `runner` reaches; `place` is what to call that node.
    #[must_use]
    pub fn new(runner: Arc<dyn Runner>, place: impl Into<String>, path: impl Into<String>) -> Self {
        Self { runner, place: place.into(), path: path.into() }
    }

    /// The log of `session` below `log_dir`, which is `/var/log/glusterfs` there.
    #[must_use]
    pub fn of_session(
        runner: Arc<dyn Runner>,
        place: impl Into<String>,
        log_dir: &str,
        session: &SessionName,
    ) -> Self {
        let path = format!("{log_dir}/geo-replication/{}/gsyncd.log", session.directory());
        Self::new(runner, place, path)
    }

    fn run(&self, argv: &[&str]) -> io::Result<Output> {
        self.runner.run(argv, &Limit::time(LIMIT)).map_err(io::Error::other)
    }

    /// The log's older part, which was renamed when it was rotated.
    fn rotated(&self, file: u64) -> io::Result<Option<String>> {
        let path = Path::new(&self.path);
        let dir = path.parent().unwrap_or(Path::new("/")).display().to_string();
        let pattern = format!("{}*", path.file_name().unwrap_or_default().display());
        let inode = file.to_string();
        let found = self.run(&["find", &dir, "-maxdepth", "1", "-inum", &inode, "-name", &pattern])?;
        let text = String::from_utf8_lossy(&found.stdout);
        Ok(text.lines().next().map(str::to_owned))
    }

    fn pieces(&self, path: String, offset: u64) -> Pieces<'_> {
        Pieces { log: self, path, offset, piece: Vec::new(), at: 0, over: false }
    }
}

impl LogSource for RunnerLog {
    fn name(&self) -> String {
        format!("{}:{}", self.place, self.path)
    }

    fn mark(&self) -> io::Result<LogMark> {
        let answer = self.run(&["stat", "--format=%i %s", &self.path])?;
        let (said, complaint) =
            (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
        if answer.code != Some(0) {
            if complaint.contains("No such file or directory") {
                return Ok(LogMark { file: 0, offset: 0 });
            }
            return Err(io::Error::other(clip(&complaint, 200)));
        }
        let mut numbers = said.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(file)), Some(Ok(offset)), None) => Ok(LogMark { file, offset }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("stat said {:?}", clip(&said, 100)))),
        }
    }

    fn since(&self, mark: &LogMark) -> io::Result<Box<dyn Read + '_>> {
        let now = self.mark()?;
        if mark.file == 0 {
            return Ok(match now.file {
                0 => Box::new(io::empty()),
                _ => Box::new(self.pieces(self.path.clone(), 0)),
            });
        }
        if now.file == mark.file {
            if now.offset < mark.offset {
                return Err(super::cut_short());
            }
            return Ok(Box::new(self.pieces(self.path.clone(), mark.offset)));
        }
        let Some(older) = self.rotated(mark.file)? else { return Err(super::rotated_away()) };
        let new = self.pieces(self.path.clone(), 0);
        Ok(match now.file {
            0 => Box::new(self.pieces(older, mark.offset)),
            _ => Box::new(self.pieces(older, mark.offset).chain(new)),
        })
    }
}

/// A file there, fetched piece by piece.
struct Pieces<'a> {
    log: &'a RunnerLog,
    path: String,
    offset: u64,
    piece: Vec<u8>,
    at: usize,
    over: bool,
}

impl Pieces<'_> {
    fn fetch(&mut self) -> io::Result<()> {
        let (input, skip) = (format!("if={}", self.path), format!("skip={}", self.offset));
        let count = format!("count={PIECE}");
        let words = ["dd", &input, &skip, &count, "iflag=skip_bytes,count_bytes", "bs=65536", "status=none"];
        let answer = self.log.run(&words)?;
        if answer.code != Some(0) || answer.truncated {
            return Err(io::Error::other(clip(&String::from_utf8_lossy(&answer.stderr), 200)));
        }
        self.piece = answer.stdout;
        self.at = 0;
        self.offset += self.piece.len() as u64;
        self.over = (self.piece.len() as u64) < PIECE;
        Ok(())
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.piece.len() && !self.over {
            self.fetch()?;
        }
        let left = self.piece.get(self.at..).unwrap_or_default();
        let n = left.len().min(buffer.len());
        buffer.iter_mut().zip(left).for_each(|(to, from)| *to = *from);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::log::LocalLog;
    use crate::runner::LocalRunner;

    fn read(log: &dyn LogSource, mark: &LogMark) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        log.since(mark)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn a_log_read_by_commands_is_the_log_read_as_a_file_through_growth_and_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gsyncd.log");
        let here = LocalLog::new(&path);
        let there = RunnerLog::new(Arc::new(LocalRunner::new()), "node", path.to_str().unwrap());
        let both = |mark: &LogMark| {
            let bytes = read(&there, mark).unwrap();
            assert_eq!(bytes, read(&here, mark).unwrap());
            bytes
        };
        let none = there.mark().unwrap();
        assert_eq!(none, LogMark { file: 0, offset: 0 });
        assert_eq!(both(&none), b"");
        fs::write(&path, "one\n").unwrap();
        assert_eq!(both(&none), b"one\n");
        let mark = there.mark().unwrap();
        assert_eq!(mark, here.mark().unwrap());
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(both(&mark), b"two\n");
        fs::rename(&path, dir.path().join("gsyncd.log.1")).unwrap();
        fs::write(&path, "three\n").unwrap();
        assert_eq!(both(&mark), b"two\nthree\n");
        // More than a piece.
        fs::write(&path, vec![b'x'; (PIECE as usize) * 2 + 5]).unwrap();
        assert_eq!(both(&mark).len(), 4 + (PIECE as usize) * 2 + 5);
        fs::remove_file(dir.path().join("gsyncd.log.1")).unwrap();
        assert!(read(&there, &mark).is_err() && read(&here, &mark).is_err());
        let mark = there.mark().unwrap();
        fs::write(&path, "cut").unwrap();
        assert!(read(&there, &mark).unwrap_err().to_string().contains("cut short"));
    }

    #[test]
    fn a_node_that_can_t_be_asked_is_an_error_and_no_empty_log() {
        let broken = LocalRunner::with_prefix(["sh", "-c", "echo no route >&2; exit 255", "ssh"]);
        let log = RunnerLog::new(Arc::new(broken), "node", "/var/log/gsyncd.log");
        assert_eq!(log.mark().unwrap_err().to_string(), "no route");
    }
}
