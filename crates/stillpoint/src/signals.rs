//! SIGINT, SIGTERM and SIGHUP.

use std::io::{self, Write as _};
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use stillpoint_backup::Cancel;

use crate::exit::Exit;

/// What a clean end is, and what is left without one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    /// What is said of the first signal.
    pub(crate) clean: &'static str,
    /// What is said of the second.
    pub(crate) now: &'static str,
    /// How the process ends at the second.
    pub(crate) exit: Exit,
}

/// Of a run: guards release the guest, and recovery does the rest.
pub(crate) const RUN: Ending = Ending {
    clean: "ending cleanly, which undoes what was done to the guest; interrupt again not to wait for that",
    now: "not waiting any more; 'stillpoint recover' finishes what is left",
    exit: Exit::NeedsRecovery,
};

/// Of replication that was started: whoever doesn't wait leaves it as it is.
pub(crate) const SYNC: Ending = Ending {
    clean: "ending cleanly, which stops replication; interrupt again not to wait for that",
    now: "not waiting any more; replication may be running: 'stillpoint georep status' tells",
    exit: Exit::NeedsOperator,
};

/// Of what only reads, or writes files that nobody uses yet.
pub(crate) const READ: Ending = Ending {
    clean: "ending cleanly; interrupt again not to wait for that",
    now: "ended",
    exit: Exit::Failed,
};

/// Has the first of these signals ask for a clean end from now on. The second ends the process where it is, which
/// is as good as a crash.
///
/// # Errors
/// When the handlers can't be installed.
pub(crate) fn cancel_on_signals(ending: Ending) -> io::Result<Arc<Cancel>> {
    let cancel = Arc::new(Cancel::new());
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let told = Arc::clone(&cancel);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            if told.is_wanted() {
                say(ending.now);
                std::process::exit(i32::from(ending.exit.code()));
            }
            // Said before it is done: what ends at once ends this thread, too.
            say(ending.clean);
            told.request();
        }
    })?;
    Ok(cancel)
}

/// Says it on stderr, in one piece.
fn say(what: &str) {
    // There is nobody to tell that stderr is gone.
    let _ = anstream::stderr().write_all(format!("stillpoint: {what}\n").as_bytes());
}
