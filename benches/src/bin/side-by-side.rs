//! Each figure beside a peer's from the same run: `cargo xtask bench`.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
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
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let setting = suites::Setting::new(args.stillpoint, args.quick)?;
    println!(
        "warm caches, both in turns, the best of {} rounds; a ratio above 1 says that ours is faster",
        setting.rounds
    );
    for (name, suite) in suites::ALL {
        if !args.only.is_empty() && !args.only.iter().any(|wanted| wanted == name) {
            continue;
        }
        match suite(&setting)? {
            suites::Outcome::Measured(comparisons) => {
                for comparison in comparisons {
                    println!("\n{comparison}");
                }
            }
            suites::Outcome::Skipped(why) => println!("\nskipped: {why}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}
