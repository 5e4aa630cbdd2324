//! A guest that writes, with its agent, its disk on a sharded Gluster volume.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use stillpoint_lab::{Guest, Lab, LabConfig, SiteName};

use crate::roles::Lines;
use crate::stage::Way;

const INSTANCE: &str = "virt";
const LIMIT: Duration = Duration::from_secs(120);

/// Takes the lab down whatever happens, and keeps its logs if the test fails.
struct Down;

impl Drop for Down {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(lab) = Lab::attach(INSTANCE)
        {
            lab.keep_logs("virt-in-the-lab");
        }
        if let Err(error) = Lab::down(INSTANCE) {
            println!("the lab is not down: {error}");
        }
    }
}

pub(crate) fn in_the_lab() {
    let config = LabConfig { session: None, ..LabConfig::named(INSTANCE) };
    let _down = Down;
    let lab = Lab::up(&config).unwrap();
    let guest = lab.guest().unwrap();
    guest.wait_for_agent(LIMIT).unwrap();
    let journals = tempfile::tempdir_in("/tmp").unwrap();
    for way in [Way::VirshHere, Way::LibvirtHere] {
        let counter = guest.counter().unwrap().unwrap_or(0);
        let healthy = journals.path().join(format!("{way:?}"));
        assert!(ran(&lab, "cycle", way, &healthy, Some(usize::MAX)).success());
        guest.wait_counter_above(counter + 1, LIMIT).unwrap();
        assert_home(&lab, &guest);
        let names: Vec<&str> = Lines::read(&healthy).iter().map(|step| step.name()).collect();
        for name in ["frozen", "pivot-requested"] {
            let journal = journals.path().join(format!("{way:?}-{name}"));
            let step = names.iter().position(|found| *found == name).unwrap();
            assert_eq!(ran(&lab, "cycle", way, &journal, Some(step)).signal(), Some(9), "killed at {name}");
            let killed = Instant::now();
            while guest.state().unwrap() != "running" || is_frozen(&guest) {
                assert!(killed.elapsed() < Duration::from_secs(5), "still {name} after 5 s");
                thread::sleep(Duration::from_millis(20));
            }
            println!("  measured: {way:?}: going on {:.0?} after SIGKILL at {name}", killed.elapsed());
            let counter = guest.counter().unwrap().unwrap_or(0);
            guest.wait_counter_above(counter, LIMIT).unwrap();
            assert!(ran(&lab, "recover", way, &journal, None).success());
            assert_home(&lab, &guest);
        }
    }
    // Shut down from inside with its disk on an overlay: the files are committed on Gluster's mount, and it stays off.
    let journal = journals.path().join("shut-down");
    let names: Vec<&str> =
        Lines::read(&journals.path().join("VirshHere")).iter().map(|step| step.name()).collect();
    let step = names.iter().position(|found| *found == "snapshot-verified").unwrap();
    assert_eq!(ran(&lab, "cycle", Way::VirshHere, &journal, Some(step)).signal(), Some(9));
    let counter = guest.counter().unwrap().unwrap_or(0);
    guest.wait_counter_above(counter, LIMIT).unwrap();
    guest.stop().unwrap();
    let begun = Instant::now();
    assert!(ran(&lab, "recover", Way::VirshHere, &journal, None).success());
    println!("  measured: shut down on an overlay, recovered off in {:.1?}", begun.elapsed());
    assert_eq!(guest.state().unwrap(), "shut off");
    assert_home(&lab, &guest);
    let checks = guest.restart_and_verify(LIMIT).unwrap();
    assert!(!checks.is_empty() && checks.iter().all(|check| check.ok), "{checks:?}");
}

/// Runs this program at site A.
fn ran(lab: &Lab, role: &str, way: Way, journal: &Path, step: Option<usize>) -> ExitStatus {
    let mut command = lab.site(SiteName::A).command(std::env::current_exe().unwrap().to_str().unwrap());
    command.args([role, &format!("{way:?}"), "qemu:///system", lab.guest().unwrap().name()]).arg(journal);
    command.args(step.map(|step| step.to_string()));
    command.status().unwrap()
}

fn is_frozen(guest: &Guest<'_>) -> bool {
    let ask =
        ["qemu-agent-command", guest.name(), "--timeout", "2", "{\"execute\":\"guest-fsfreeze-status\"}"];
    // No answer is no proof that it runs.
    guest.virsh(&ask).map_or(true, |answer| !answer.contains("thawed"))
}

fn assert_home(lab: &Lab, guest: &Guest<'_>) {
    for option in ["--live", "--inactive"] {
        let options: &[&str] = if option == "--live" { &[] } else { &[option] };
        let mut arguments = vec!["dumpxml", guest.name()];
        arguments.extend(options);
        let xml = guest.virsh(&arguments).unwrap();
        assert!(!xml.contains("stillpoint-killed") && !xml.contains("<mirror"), "{xml}");
    }
    let vm = lab.site(SiteName::A).host_mount().join("vm");
    for entry in std::fs::read_dir(vm).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("stillpoint-killed"), "left behind: {name}");
    }
}
