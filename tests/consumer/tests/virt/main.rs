//! `stillpoint-virt`: a hypervisor and a journal of our own carry a still point and its undoing.

mod hypervisor;

use std::sync::Mutex;
use std::time::Duration;

use hypervisor::OneGuest;
use stillpoint_virt::{
    Consistency, Hypervisor, Intent, Journal, JournalError, PlanOptions, Quiesce, RecoverOptions, Step, Tag,
    TakeOptions, UndoOptions, Unguarded, Which, plan, recover, take, undo,
};

/// Steps in memory.
#[derive(Debug, Default)]
struct Steps(Mutex<Vec<Step>>);

impl Steps {
    fn names(&self) -> Vec<&'static str> {
        self.0.lock().expect("no panic while it is held").iter().map(|step| step.kind.name()).collect()
    }
}

impl Journal for Steps {
    fn record(&self, step: &Step) -> Result<(), JournalError> {
        self.0.lock().map_err(|_| JournalError::new("poisoned"))?.push(step.clone());
        Ok(())
    }
}

#[test]
fn a_point_is_taken_and_undone_over_a_hypervisor_of_our_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let guest = OneGuest::in_dir(dir.path());
    let domain = guest.find("guest").expect("it is there");
    let tag = Tag::new("stillpoint-consumer").expect("a tag");
    let mut options = PlanOptions::new(tag);
    options.trust_apparmor = true;
    let plan = plan(&guest, &domain, &options).expect("nothing stands in the way");
    assert_eq!(plan.disks.len(), 1);
    assert!(plan.snapshot_xml().contains("name='vda' snapshot='external'"));

    let steps = Steps::default();
    let options = TakeOptions { quiesce: Quiesce::Require, ..TakeOptions::default() };
    let point = take(&guest, &plan, &options, &steps, &Unguarded).expect("a still point");
    assert_eq!(point.consistency, Consistency::FileSystem { frozen: 1 });
    assert!(!guest.is_frozen());
    let overlay = &plan.disks[0].disk.overlay;
    assert!(guest.xml(&domain, Which::Live).expect("its XML").contains(&*overlay.to_string_lossy()));

    let options = UndoOptions { poll: Duration::from_millis(1), ..UndoOptions::default() };
    let undone = undo(&guest, &point, &options, &steps, &Unguarded, &mut |_| {}).expect("undone");
    assert_eq!(undone.disks.len(), 1);
    assert!(!overlay.exists());
    assert!(!guest.is_suspended());
    for which in [Which::Live, Which::Inactive] {
        assert!(!guest.xml(&domain, which).expect("its XML").contains(&*overlay.to_string_lossy()));
    }
    let names = steps.names();
    assert_eq!(names.first(), Some(&"snapshot-intended"));
    assert_eq!(names.last(), Some(&"undone"));
    let at = |name| names.iter().position(|step| *step == name).unwrap_or(usize::MAX);
    assert!(
        at("pivot-verified") < at("overlay-removal-intended") && at("overlay-removal-intended") < names.len(),
        "{names:?}"
    );
}

#[test]
fn what_a_crash_left_is_recovered_from_the_steps_that_were_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let guest = OneGuest::in_dir(dir.path());
    let domain = guest.find("guest").expect("it is there");
    let mut options = PlanOptions::new(Tag::new("stillpoint-crash").expect("a tag"));
    options.trust_apparmor = true;
    let plan = plan(&guest, &domain, &options).expect("nothing stands in the way");
    let steps = Steps::default();
    let options = TakeOptions { quiesce: Quiesce::Never, ..TakeOptions::default() };
    take(&guest, &plan, &options, &steps, &Unguarded).expect("a still point");

    // Here the process died. The next one has the steps, and looks.
    let kept: String = serde_json::to_string(&*steps.0.lock().expect("no panic")).expect("plain data");
    let kept: Vec<Step> = serde_json::from_str(&kept).expect("just written");
    let intents = Intent::from_steps(&kept);
    assert_eq!(intents.len(), 1);
    assert!(intents[0].is_open());
    let undo = UndoOptions { poll: Duration::from_millis(1), ..UndoOptions::default() };
    let options = RecoverOptions { undo, comparison: None, offline: None };
    let recovery =
        recover(&guest, &intents[0], &options, &steps, &Unguarded, &mut |_| {}).expect("recovered");
    assert!(recovery.is_complete(), "{:?}", recovery.problems);
    assert!(!recovery.actions.is_empty());
    assert!(!plan.disks[0].disk.overlay.exists());
    for which in [Which::Live, Which::Inactive] {
        let xml = guest.xml(&domain, which).expect("its XML");
        assert!(!xml.contains("stillpoint-crash"), "{xml}");
    }
}
