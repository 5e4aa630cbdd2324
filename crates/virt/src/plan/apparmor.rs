//! Whether AppArmor will deny a block commit its base.
//!
//! `virt-aa-helper` of libvirt before 12.1.0 writes a rule that denies writing to every backing layer, and AppArmor's
//! denials win over allowances: the commit then fails with "Permission denied" when the overlay is in use already.

use std::fs;

use crate::domain::Domain;
use crate::{Version, Versions};

/// The first version whose helper asks for no such rule.
const FIXED: Version = Version::new(12, 1, 0);

/// Whether the domain is confined by AppArmor and the daemon is too old, or of unknown age.
pub(super) fn denies_commit(domain: &Domain, versions: &Versions) -> bool {
    domain.security_models.iter().any(|model| model == "apparmor")
        && versions.libvirt.is_none_or(|version| version < FIXED)
        && enabled()
}

/// Whether this machine's kernel enforces AppArmor. Where that can't be read, the domain's label is believed.
fn enabled() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").map_or(true, |text| text.trim() == "Y")
}
