//! The whole cycle on real programs, in the lab: two sites of GlusterFS, libvirt and a guest that writes all the time.

mod cycle;
mod damage;
mod georep;
#[path = "../lab/mod.rs"]
mod lab;
mod reading;

use std::process::ExitCode;

use stillpoint_lab::GuestConfig;

use crate::lab::{Test, run_in_lab};

const TESTS: &[Test] = &[
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
    ("georep::the_real_session_is_looked_at_from_both_sides_and_nothing_is_refused", georep::looks),
    (
        "georep::a_disk_is_asked_for_again_only_below_an_overlay_and_then_arrives",
        georep::resync_only_below_an_overlay,
    ),
    ("cycle::a_second_run_at_once_finds_the_lock_held", cycle::second_run_is_locked_out),
    (
        "cycle::write_behind_on_a_sharded_volume_is_refused_before_anything_is_touched",
        cycle::write_behind_is_refused,
    ),
    ("cycle::a_cut_link_fails_within_the_time_limit_and_the_guest_goes_on", cycle::cut_link),
    ("cycle::a_starved_worker_fails_within_the_time_limit_by_name", cycle::starved_worker),
    ("cycle::an_interrupted_run_commits_its_overlay", cycle::interrupted),
    ("cycle::the_guests_own_checksums_are_right_after_all_of_it", cycle::guest_checks_itself),
];

fn main() -> ExitCode {
    let mut guest = GuestConfig::default();
    // The guest is emulated: writing three times a second takes a fifth of a processor. The full matrices have the time, and
    // a crash is to find writes under way; here it is enough that the guest goes on.
    if std::env::var_os("STILLPOINT_FULL").is_none() {
        guest.pause_ms = 500;
    }
    run_in_lab("e2e", guest, TESTS)
}
