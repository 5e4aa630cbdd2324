//! SIGINT, SIGTERM and SIGHUP.

use std::io;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use stillpoint_backup::Cancel;

use crate::exit::Exit;

/// Has the first of these signals ask for a clean end from now on. The second ends the process where it is, which
/// is as good as a crash: guards release the guest, and recovery does the rest.
///
/// # Errors
/// When the handlers can't be installed.
pub(crate) fn cancel_on_signals() -> io::Result<Arc<Cancel>> {
    let cancel = Arc::new(Cancel::new());
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let told = Arc::clone(&cancel);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            if !told.request() {
                anstream::eprintln!("stillpoint: not waiting any more; 'stillpoint recover' finishes what is left");
                std::process::exit(i32::from(Exit::NeedsRecovery.code()));
            }
            anstream::eprintln!(
                "stillpoint: ending cleanly, which undoes what was done to the guest; interrupt again not to wait for that"
            );
        }
    })?;
    Ok(cancel)
}
