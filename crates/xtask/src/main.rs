//! The habits of the project: `cargo xtask demo`, `test`, `lab`, `bench`, `fuzz` and `dist`.
#![forbid(unsafe_code)]

mod bench;
mod debian;
mod demo;
mod dist;
mod fuzz;
mod lanes;
mod programs;
mod report;
mod shell;
mod test;
mod watchdog;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What people and CI run in this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    habit: Habit,
}

#[derive(Debug, Subcommand)]
enum Habit {
    /// Run the main job for real: two sites here, a guest, one run, its copy restored and checked.
    Demo(demo::Args),
    /// Check everything: style, lints, tests, docs, licences, packaging, fuzzers, and the whole cycle in the lab.
    Test(test::Args),
    /// Two sites of real programs on this machine: up, down, status, exec, guest, fault.
    Lab(stillpoint_lab::cli::LabArgs),
    /// Run the benchmarks that stand beside a peer, and print the ratios.
    Bench(bench::Args),
    /// Run the fuzz targets, all or some, for a while each.
    Fuzz(fuzz::Args),
    /// Build the release: binary, man pages, completions, in one archive under target/dist.
    Dist(dist::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().habit {
        Habit::Demo(args) => demo::run(&args),
        Habit::Test(args) => test::run(&args),
        Habit::Lab(args) => stillpoint_lab::cli::run(args).map(|()| ExitCode::SUCCESS),
        Habit::Bench(args) => bench::run(&args),
        Habit::Fuzz(args) => fuzz::run(&args),
        Habit::Dist(args) => dist::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
