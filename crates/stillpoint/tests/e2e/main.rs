//! The whole cycle on real programs, in the lab: two sites of GlusterFS, libvirt and a guest that writes all the time.
//!
//! One lab serves all tests, which run one after another in the order below; each leaves both sites whole.
//! `STILLPOINT_E2E_LAB` names a lab that is up already and is left up, for working on a test.

mod crash;
mod cycle;
mod damage;
mod reading;
mod stage;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::stage::Stage;

type Test = fn(&Stage) -> anyhow::Result<()>;

const TESTS: &[(&str, Test)] = &[
    ("cycle::a_healthy_run_is_proven_and_leaves_no_overlay", cycle::healthy),
    ("cycle::what_is_at_the_far_side_is_the_guests_file_system_whole", cycle::far_side_is_whole),
    ("reading::info_through_the_bricks_equals_qemu_img_on_the_mount", reading::info),
    ("reading::locate_names_the_copies_that_hold_an_offset", reading::locate),
    ("reading::an_export_of_2_gib_equals_the_mount_and_refuses_without_a_subvolume", reading::export),
    ("damage::a_flipped_byte_fails_the_run_by_name", damage::flipped_byte),
    ("damage::two_swapped_shards_fail_the_run_by_name", damage::swapped_shards),
    ("damage::an_older_shard_with_its_mtime_kept_fails_the_run_by_name", damage::older_shard),
    ("damage::verify_names_a_flipped_byte", damage::verify_flipped_byte),
    ("damage::rsyncs_silent_no_op_fails_the_run_although_gluster_reports_complete", damage::silent_no_op),
    ("cycle::a_second_run_at_once_finds_the_lock_held", cycle::second_run_is_locked_out),
    ("cycle::a_cut_link_fails_within_the_time_limit_and_the_guest_goes_on", cycle::cut_link),
    ("cycle::a_starved_worker_fails_within_the_time_limit_by_name", cycle::starved_worker),
    ("cycle::an_interrupted_run_commits_its_overlay", cycle::interrupted),
    ("crash::a_guest_frozen_at_the_crash_is_thawed_within_5_s", crash::frozen),
    ("crash::recover_undoes_a_crash_after_every_journalled_step", crash::every_step),
    ("cycle::the_guests_own_checksums_are_right_after_all_of_it", cycle::guest_checks_itself),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share one lab.
    arguments.test_threads = Some(1);
    let wanted = |name: &str| {
        let matches =
            |filter: &String| if arguments.exact { name == filter } else { name.contains(filter.as_str()) };
        arguments.filter.as_ref().is_none_or(matches)
            && !arguments.skip.iter().any(|skip| name.contains(skip.as_str()))
    };
    let lab_is_needed = !arguments.list && TESTS.iter().any(|(name, _)| wanted(name));
    let stage: Option<&'static Stage> = match lab_is_needed.then(Stage::set).transpose() {
        Ok(stage) => stage.map(|stage| &*Box::leak(Box::new(stage))),
        Err(error) => {
            eprintln!("the lab did not come up: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let trials = TESTS.iter().map(|&(name, test)| {
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
