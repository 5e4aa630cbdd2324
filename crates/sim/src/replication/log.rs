//! The simulated session's `gsyncd.log`, in the words of 11.1.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use jiff::Timestamp;

/// Appends a line of `level` from `source` to the log.
pub(super) fn line(path: &Path, at: Timestamp, level: char, source: &str, text: &str) {
    let stamp = at.strftime("%Y-%m-%d %H:%M:%S%.6f");
    let line = format!("[{stamp}] {level} [{source}] {text}\n");
    // A log that can't be written is a log that holds less, which the reader has to notice.
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}

/// rsync's counts for a batch of `files`.
pub(super) fn performance(files: u64, transferred: u64, received: u64) -> String {
    format!(
        "SSH: rsync performance [{{data=Number of files: {} (reg: {files}, dir: 1), Number of regular files \
         transferred: {transferred}, Total file size: 4,194,304 bytes, Total transferred file size: 0 bytes, Literal \
         data: 0 bytes, Matched data: 0 bytes, Total bytes sent: 1,260, Total bytes received: {received}, sent 1,260 \
         bytes  received {received} bytes  2,544.00 bytes/sec}}]",
        files + 1
    )
}
