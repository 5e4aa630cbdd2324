//! A run: replication driven to a checkpoint, judged, and stopped again.

mod finish;
mod judge;
mod options;
mod reach;
mod run;
mod sent;
mod touch;
mod watch;

use std::sync::atomic::AtomicBool;

pub use options::{Sent, SyncOptions, SyncProgress};

use crate::error::Error;
use crate::journal::Journal;
use crate::session::Session;
use crate::verdict::Verdict;

/// Makes a run: stop → all `Stopped` → checkpoint, read back → touch → wait for changelogs to roll → start → judge →
/// stop → all `Stopped`.
///
/// The root is touched and changelogs are rolled *before* the start, so that workers find them in the history on
/// disk: a worker that is started first can miss every live changelog and stand still for ever.
///
/// Take snapshots before calling this, after [`Session::ensure_stopped`]; what is written before the call is what
/// the checkpoint covers. `cancel` is honoured within a second.
///
/// # Errors
/// Whatever keeps the checkpoint from being reached. Replication is stopped again on every way out; where that
/// fails, the error is [`Error::StillRunning`]. A checkpoint that is reached and not believable is no error, but a
/// [`Verdict`] with problems.
pub fn sync(
    session: &Session,
    options: &SyncOptions,
    journal: &dyn Journal,
    progress: &mut dyn FnMut(SyncProgress),
    cancel: &AtomicBool,
) -> Result<Verdict, Error> {
    let mut run = run::Run::new(session, options, journal, progress, cancel);
    let reached = run.reach_checkpoint();
    if run.may_be_running() {
        finish::stop_and_judge(run, reached)
    } else {
        reached.map(|r| finish::verdict(&run, r))
    }
}
