//! Tests that share one lab.
#![allow(dead_code, unused_imports, reason = "each test program asks for a part of it")]

mod stage;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use stillpoint_lab::GuestConfig;

pub(crate) use self::stage::{Ended, Stage, finish, paused, shards_of};

/// A test's name and the test.
pub(crate) type Test = (&'static str, fn(&Stage) -> anyhow::Result<()>);

/// One lab serves all tests, which run one after another in their order; each leaves both sites whole.
/// `STILLPOINT_E2E_LAB` names a lab that is up already and is left up, for working on a test.
pub(crate) fn run_in_lab(instance: &str, guest: GuestConfig, tests: &'static [Test]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share one lab.
    arguments.test_threads = Some(1);
    let wanted = |name: &str| {
        let matches =
            |filter: &String| if arguments.exact { name == filter } else { name.contains(filter.as_str()) };
        arguments.filter.as_ref().is_none_or(matches)
            && !arguments.skip.iter().any(|skip| name.contains(skip.as_str()))
    };
    let lab_is_needed = !arguments.list && tests.iter().any(|(name, _)| wanted(name));
    let stage: Option<&'static Stage> = match lab_is_needed.then(|| Stage::set(instance, guest)).transpose() {
        Ok(stage) => stage.map(|stage| &*Box::leak(Box::new(stage))),
        Err(error) => {
            eprintln!("the lab did not come up: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let trials = tests.iter().map(|&(name, test)| {
        Trial::test(name, move || {
            let stage = stage.ok_or("no lab")?;
            test(stage).map_err(|error| {
                stage.keep_logs(name);
                Failed::from(format!("{error:#}"))
            })
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Some(Err(error)) = stage.map(Stage::strike) {
        eprintln!("the lab did not go down: {error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
