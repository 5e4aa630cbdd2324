//! What other domains have to do with a disk.

use std::path::Path;

use crate::domain::Domain;
use crate::{CallErrorKind, DomainId, Error, Hypervisor, Which};

/// All domains, as they run or as they are defined.
pub(crate) struct Neighbours(Vec<(DomainId, Domain)>);

impl Neighbours {
    pub(crate) fn read(hypervisor: &dyn Hypervisor) -> Result<Self, Error> {
        let mut all = Vec::new();
        for id in hypervisor.domains()? {
            let xml = match hypervisor.xml(&id, Which::Live) {
                // Gone since the list was made.
                Err(error) if error.kind == CallErrorKind::NoDomain => continue,
                xml => xml?,
            };
            match Domain::parse(&xml) {
                Ok(domain) => all.push((id, domain)),
                Err(error) => tracing::warn!(domain = %id, %error, "what its disks are is not known"),
            }
        }
        Ok(Self(all))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(DomainId, Domain)> {
        self.0.iter()
    }

    /// What another domain than `own` does with this file, if any does.
    pub(crate) fn user_of(&self, path: &Path, own: &DomainId) -> Option<String> {
        self.0.iter().filter(|(id, _)| id.uuid != own.uuid).find_map(|(id, domain)| {
            domain.disks.iter().find_map(|disk| {
                let is_it = |file: Option<&Path>| file.is_some_and(|file| same(file, path));
                if is_it(disk.source.file()) {
                    Some(format!("domain '{}' has it as its disk {} too", id.name, disk.target))
                } else if disk.backing.iter().any(|layer| is_it(layer.source.file())) {
                    Some(format!("the disk {} of domain '{}' is on top of it", disk.target, id.name))
                } else {
                    None
                }
            })
        })
    }
}

/// Whether two names are of one file, where both exist; the same name, where not.
fn same(one: &Path, other: &Path) -> bool {
    one == other
        || (one.file_name() == other.file_name()
            && matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other))
}
