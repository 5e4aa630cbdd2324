//! Stopping replication again, whatever happened, and what is made of the run.

use std::sync::Mutex;
use std::time::Duration;

use crate::cli::CliErrorKind;
use crate::error::{Error, Stage};
use crate::journal::{Journal, JournalError, Step};
use crate::runner::RunError;
use crate::session::Session;
use crate::verdict::{Evidence, Problem, Verdict};

use super::options::SyncProgress;
use super::run::{Reached, Run};

/// Stops replication and judges the run. Cancelling no longer matters here.
pub(super) fn stop_and_judge(mut run: Run<'_>, reached: Result<Reached, Error>) -> Result<Verdict, Error> {
    // Judged before the stop: sync jobs that a stop cuts off complain too.
    let judged = reached.map(|reached| verdict(&run, reached));
    let journal = BestEffort { journal: run.journal, failed: Mutex::new(None) };
    if let Ok(verdict) = &judged {
        let gluster_says_complete = verdict.gluster_says_complete;
        let problems = u32::try_from(verdict.problems.len()).unwrap_or(u32::MAX);
        let session = verdict.session.clone();
        journal.keep(&Step::Judged { session, gluster_says_complete, problems });
        (run.progress)(SyncProgress::Judged { gluster_says_complete });
    }
    let stopped = stop(run.session, &journal, run.progress);
    run.part("stop again");
    let kept = journal.failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    match (judged, stopped) {
        (Ok(mut verdict), stopped) => {
            verdict.durations.clone_from(&run.durations);
            match (stopped, kept) {
                (Ok(()), None) => {
                    verdict.evidence.push(Evidence::StoppedAfter);
                    Ok(verdict)
                }
                (Ok(()), Some(error)) => Err(error.into()),
                (Err(reason), _) => Err(Error::StillRunning {
                    reason: Box::new(reason),
                    after: None,
                    verdict: Some(Box::new(verdict)),
                }),
            }
        }
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(reason)) => {
            Err(Error::StillRunning { reason: Box::new(reason), after: Some(Box::new(error)), verdict: None })
        }
    }
}

/// Stops replication, and keeps at it for as long as [`Patience::stop`](crate::Patience::stop) allows: glusterd may be
/// on its way back.
fn stop(
    session: &Session,
    journal: &BestEffort<'_>,
    progress: &mut dyn FnMut(SyncProgress),
) -> Result<(), Error> {
    let clock = session.clock();
    let until = clock.elapsed() + session.patience().stop;
    let calls = session.calls(None).until(until);
    loop {
        let error = match calls.ensure_stopped(journal, &mut |s| progress(SyncProgress::Stopping(s.clone())))
        {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let hopeless = matches!(&error, Error::Cli(e) if e.kind == CliErrorKind::Absent)
            || matches!(&error, Error::Run(RunError::Spawn { .. }));
        if hopeless || clock.elapsed() >= until {
            return Err(error);
        }
        tracing::warn!(%error, "replication is not stopped yet");
        calls.sleep(Duration::from_secs(1), Stage::Stopping)?;
    }
}

/// What is made of a checkpoint that was reached.
pub(super) fn verdict(run: &Run<'_>, reached: Reached) -> Verdict {
    let mut verdict = Verdict {
        session: run.session.name().clone(),
        checkpoint: reached.checkpoint,
        gluster_says_complete: true,
        evidence: reached.evidence,
        problems: Vec::new(),
        log_findings: Vec::new(),
        durations: run.durations.clone(),
        restarts: run.restarts,
    };
    let risen = run.watch.failures_risen();
    if risen.is_empty() {
        verdict.evidence.push(Evidence::FailuresUnchanged);
    }
    let risen =
        risen.into_iter().map(|(brick, before, after)| Problem::FailuresRose { brick, before, after });
    verdict.problems.extend(risen);
    if !run.rsync_logged {
        verdict.problems.push(Problem::RsyncNotLogged);
    }
    if run.options.logs.is_empty() {
        let reason = "no log was given to be read".to_owned();
        verdict.problems.push(Problem::LogUnread { log: "gsyncd.log".to_owned(), reason });
    }
    for (source, scan) in run.options.logs.iter().zip(run.scans()) {
        if let Some(seconds) = scan.as_ref().ok().and_then(|scan| run.clock_apart(scan)) {
            verdict.problems.push(Problem::ClockApart { log: source.name(), seconds });
        }
        read_log(&mut verdict, source.name(), scan);
    }
    verdict
}

fn read_log(verdict: &mut Verdict, log: String, scan: Result<crate::log::LogScan, String>) {
    let scan = match scan {
        Ok(scan) => scan,
        Err(reason) => return verdict.problems.push(Problem::LogUnread { log, reason }),
    };
    if scan.bytes == 0 {
        // Every start is logged: a log that says nothing is not this session's.
        let reason = "nothing was written to it during the run; is it this session's log?".to_owned();
        return verdict.problems.push(Problem::LogUnread { log, reason });
    }
    if scan.no_op_batches > 0 {
        verdict.problems.push(Problem::RsyncNoOp {
            log: log.clone(),
            batches: scan.no_op_batches,
            files: scan.no_op_files,
            example: scan.no_op_example.unwrap_or_default(),
        });
    }
    if scan.dropped > 0 {
        let reason = format!("it has {} more complaints than are kept", scan.dropped);
        verdict.problems.push(Problem::LogUnread { log: log.clone(), reason });
    }
    verdict.log_findings.extend(scan.findings);
    verdict.evidence.push(Evidence::LogRead {
        log,
        bytes: scan.bytes,
        batches: scan.batches,
        files: scan.files,
        transferred: scan.transferred,
        sent_bytes: scan.sent_bytes,
    });
}

/// A journal for the way out: a step that can't be recorded is taken all the same, since leaving replication running
/// is worse; the failure is kept.
struct BestEffort<'a> {
    journal: &'a dyn Journal,
    failed: Mutex<Option<JournalError>>,
}

impl BestEffort<'_> {
    fn keep(&self, step: &Step) {
        if let Err(error) = self.journal.record(step) {
            let mut failed = self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            failed.get_or_insert(error);
        }
    }
}

impl Journal for BestEffort<'_> {
    fn record(&self, step: &Step) -> Result<(), JournalError> {
        self.keep(step);
        Ok(())
    }
}
