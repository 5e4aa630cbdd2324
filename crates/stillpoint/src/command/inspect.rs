//! `stillpoint inspect`: an image in plain words, and whether to let it in.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use stillpoint_qcow2::inspect::{Account, InspectOptions, Outcome, Statement, Verdict};
use stillpoint_qcow2::{Format, Source};

use crate::cli::InspectArgs;
use crate::command::source;
use crate::exit::Exit;
use crate::output;

pub(crate) fn run(args: &InspectArgs) -> Result<Exit> {
    let verdict = judge(args)?;
    let outcome = args.untrusted.then_some(verdict.outcome);
    let document = Document::new(&args.file, outcome, &verdict.account);
    output::print(&match args.output {
        output::Format::Json => document.to_json()?,
        output::Format::Human => document.to_text(),
    })?;
    Ok(match verdict.outcome {
        _ if !args.untrusted => Exit::Done,
        Outcome::Safe => Exit::Done,
        Outcome::Incomplete => Exit::Partial,
        Outcome::Unsafe => Exit::Failed,
    })
}

fn judge(args: &InspectArgs) -> Result<Verdict> {
    let format = match &args.format {
        None => None,
        Some(wanted) => match Format::from_name(&wanted.as_str().into()) {
            Ok(format) => Some(format),
            Err(error) => bail!(error),
        },
    };
    let mut options = InspectOptions::default().filename(args.file.as_str()).format(format);
    // Without a verdict, an account of the header and what it names is all that is asked for.
    options = options.header_only(args.header_only || !args.untrusted);
    if let Some(size) = args.max_size {
        options = options.max_size(size);
    }
    if args.file == "-" && !args.volume.is_named() {
        // A file on stdin can be looked at wholly, a pipe only as it comes by.
        return match Source::open("/dev/stdin") {
            Ok(source) => Ok(Verdict::of_storage(&source.storage, &options)),
            Err(_) => Verdict::of_stream(std::io::stdin().lock(), &options).context("stdin can't be read"),
        };
    }
    match source::image(&args.volume, &args.file)? {
        Ok(source) => Ok(Verdict::of_storage(&source.storage, &options)),
        Err(why) => bail!("{why}"),
    }
}

/// What is told of an image.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'v> {
    schema_version: u32,
    pub(crate) filename: &'v str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Outcome>,
    statements: &'v [Statement],
    #[serde(skip)]
    account: &'v Account,
}

impl<'v> Document<'v> {
    /// A verdict or, where none is asked for, the account alone.
    pub(crate) fn new(filename: &'v str, verdict: Option<Outcome>, account: &'v Account) -> Self {
        Self { schema_version: 1, filename, verdict, statements: &account.statements, account }
    }

    pub(crate) fn to_json(&self) -> Result<String> {
        output::json(self)
    }

    pub(crate) fn to_text(&self) -> String {
        let verdict = match self.verdict {
            None => "",
            Some(Outcome::Safe) => "safe: nothing speaks against it\n",
            Some(Outcome::Incomplete) => {
                "incomplete: nothing was found that speaks against it, but not all was looked at\n"
            }
            Some(Outcome::Unsafe) => "unsafe: what is marked ! speaks against it\n",
        };
        format!("{verdict}{}", self.account.to_text())
    }
}
