//! `stillpoint verify`.

use anyhow::Result;
use stillpoint_backup::{Event, SiteName, VerifyOptions, verify};
use stillpoint_shard::OpenOptions;

use crate::cli::{Global, VerifyArgs, options_of};
use crate::command::run::proof_in_words;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::signals;

pub(crate) fn run(args: &VerifyArgs, global: &Global) -> Result<Exit> {
    let cancel = signals::cancel_on_signals(signals::READ)?;
    let progress = std::sync::Mutex::new(Progress::new(global));
    let shown = |event: Event<'_>| {
        if let (Event::Digest { site, done, total }, Ok(mut progress)) = (event, progress.lock()) {
            let site = match site {
                SiteName::Primary => "digesting at the primary",
                SiteName::Secondary => "digesting at the secondary",
            };
            progress.bytes(site, done, total);
        }
    };
    let (primary, secondary) = (
        args.sites.primary(args.primary_name.as_deref()),
        args.sites.secondary(args.secondary_name.as_deref()),
    );
    let OpenOptions { split_brain, on_choice, .. } = options_of(&args.split_brain);
    let options = VerifyOptions { threads: args.threads, compare: args.compare, split_brain, on_choice };
    let proof = verify(&primary, &secondary, &args.path, &options, &cancel, &shown)?;
    drop(progress);
    match args.output {
        Format::Json => output::print_json(&proof)?,
        Format::Human => output::print(&proof_in_words(&proof))?,
    }
    Ok(if proof.holds { Exit::Done } else { Exit::Failed })
}
