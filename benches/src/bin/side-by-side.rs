//! Each figure beside a peer's from the same run: `cargo xtask bench`.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use stillpoint_benches::kept::Results;
use stillpoint_benches::suites;

/// Runs what Stillpoint does and what another program does in turns, and prints the ratio of their times.
#[derive(Debug, Parser)]
struct Args {
    /// Smaller inputs and fewer rounds.
    #[arg(long)]
    quick: bool,
    /// The program `stillpoint`, built for release.
    #[arg(long)]
    stillpoint: PathBuf,
    /// Only this suite; repeatable.
    #[arg(long)]
    only: Vec<String>,
    /// Keeps results that are slower than the kept ones too.
    #[arg(long)]
    accept_slower: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let setting = suites::Setting::new(args.stillpoint, args.quick)?;
    println!(
        "warm caches, all in turns, the best of at most {} rounds; a ratio above 1 says that ours is faster",
        setting.rounds
    );
    let mut results = Results::open(setting.kept.clone())?;
    let mut slower = Vec::new();
    for (name, suite) in suites::ALL {
        if !args.only.is_empty() && !args.only.iter().any(|wanted| wanted == name) {
            continue;
        }
        match suite(&setting)? {
            suites::Outcome::Measured(comparisons) => {
                for comparison in comparisons {
                    println!("\n{comparison}");
                    if let Some(how) = results.compare_and_keep(&comparison, args.accept_slower) {
                        println!("    {how}");
                        slower.push(comparison.what);
                    }
                }
            }
            suites::Outcome::Skipped(why) => println!("\nskipped: {why}"),
        }
    }
    results.save()?;
    if !slower.is_empty() {
        println!("\nslower than the results that were kept in {}:", setting.kept.display());
        slower.iter().for_each(|what| println!("    {what}"));
    }
    Ok(ExitCode::SUCCESS)
}
