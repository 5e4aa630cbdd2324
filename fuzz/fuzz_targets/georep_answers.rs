//! Whatever `gluster` prints: no panic, and no row or volume from what is not one.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use stillpoint_georep::{Limit, Output, Patience, RunError, Runner, Session, Side};

/// Answers every command with the same bytes.
#[derive(Debug)]
struct Says(Vec<u8>);

impl Runner for Says {
    fn run(&self, _argv: &[&str], _limit: &Limit<'_>) -> Result<Output, RunError> {
        Ok(Output { code: Some(0), stdout: self.0.clone(), ..Output::default() })
    }
}

fuzz_target!(|bytes: &[u8]| {
    let name = "gv1 siteB::gv2".parse().expect("it is one");
    let patience = Patience::default().busy(Duration::ZERO);
    let session = Session::new(Arc::new(Says(bytes.to_vec())), name).with_patience(patience);
    if let Ok(status) = session.status() {
        // Rows are the volume's bricks, told of or not.
        let volume = session.volume_info(Side::Primary).expect("status reads it");
        assert_eq!(status.rows.len(), volume.bricks.len());
    }
    let _ = session.config().map(|c| c.checkpoint());
    let _ = session.brick_states(Side::Primary);
    let _ = session.heal_info(Side::Primary);
    let _ = session.start();
});
