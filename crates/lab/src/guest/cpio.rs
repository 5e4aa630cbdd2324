//! An initial file system for the kernel: a cpio archive in the format `newc`
//! (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).

/// Writes an archive in memory.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    directories: std::collections::BTreeSet<String>,
}

impl Archive {
    /// Adds a file, and the directories above it. The path is relative to the root.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        let mut above = String::new();
        if let Some((directories, _)) = path.rsplit_once('/') {
            for part in directories.split('/') {
                if !above.is_empty() {
                    above.push('/');
                }
                above.push_str(part);
                if self.directories.insert(above.clone()) {
                    let directory = above.clone();
                    self.entry(&directory, 0o040_755, &[]);
                }
            }
        }
        self.entry(path, 0o100_000 | mode, content);
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        let name_size = path.len() + 1;
        let fields: [usize; 13] =
            [self.inode as usize, mode as usize, 0, 0, links, 0, content.len(), 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_start_at_multiples_of_four_and_end_with_the_trailer() {
        let mut archive = Archive::default();
        archive.file("bin/tool", 0o755, b"12345");
        archive.file("bin/other", 0o644, b"");
        let bytes = archive.finish();
        let starts: Vec<usize> = bytes
            .windows(6)
            .enumerate()
            .filter(|(_, window)| window == b"070701")
            .map(|(at, _)| at)
            .collect();
        // bin, bin/tool, bin/other, trailer
        assert_eq!(starts.len(), 4);
        assert!(starts.iter().all(|at| at % 4 == 0));
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }

    #[test]
    fn cpio_reads_the_archive_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut archive = Archive::default();
        archive.file("a/b/file", 0o640, b"content");
        let path = dir.path().join("archive");
        std::fs::write(&path, archive.finish()).unwrap();
        let run = std::process::Command::new("cpio")
            .args(["--extract", "--quiet", "--file"])
            .arg(&path)
            .current_dir(dir.path())
            .status();
        let Ok(status) = run else {
            assert!(std::env::var_os("STILLPOINT_REQUIRE_ORACLES").is_none(), "cpio is required");
            eprintln!("skipped: no cpio");
            return;
        };
        assert!(status.success());
        assert_eq!(std::fs::read(dir.path().join("a/b/file")).unwrap(), b"content");
    }
}
