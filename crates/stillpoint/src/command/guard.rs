//! `stillpoint guard`: the process that thaws or resumes a guest when its parent dies.

use anyhow::{Context as _, Result};
use stillpoint_virt::guard::{self, Outcome};

use crate::cli::GuardArgs;
use crate::exit::Exit;

pub(crate) fn run(args: &GuardArgs) -> Result<Exit> {
    let hypervisor = stillpoint_virt::connect(args.backend, &args.connect)
        .with_context(|| format!("can't connect to {}", args.connect))?;
    let domain = hypervisor.find(&args.uuid)?;
    // Its parent's stderr may be a pipe, whose reader must not have to wait for a guard that outlives its parent.
    let nowhere =
        std::fs::OpenOptions::new().write(true).open("/dev/null").context("can't open /dev/null")?;
    rustix::stdio::dup2_stderr(nowhere).context("can't let go of stderr")?;
    Ok(match guard::run(&*hypervisor, &domain, args.release, args.deadline)? {
        Outcome::Disarmed => Exit::Done,
        Outcome::Acted | Outcome::GaveUp => Exit::Failed,
    })
}
