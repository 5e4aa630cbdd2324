//! The lab's command line on its own: `cargo run -p stillpoint-lab --example lab -- up`.

use clap::Parser;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    lab: stillpoint_lab::cli::LabArgs,
}

fn main() -> std::process::ExitCode {
    match stillpoint_lab::cli::run(Arguments::parse().lab) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
