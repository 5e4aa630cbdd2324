//! External snapshots: all disks or none.

use std::fs;
use std::path::{Path, PathBuf};

use stillpoint_virt::CallErrorKind as Kind;

use super::domain::Guest;
use super::overlay;

/// What is wanted of one disk: its target, and the overlay where it takes part.
pub(super) type Wanted = (String, Option<PathBuf>);

/// Makes the overlays, then puts every disk onto its own.
pub(super) fn make(guest: &mut Guest, wanted: &[Wanted], define: bool) -> Result<(), (Kind, String)> {
    if let Some(disk) = guest.disks.iter().find(|disk| !wanted.iter().any(|w| w.0 == disk.target)) {
        return Err((
            Kind::Unsupported,
            format!("the simulation wants every disk listed, {} is not", disk.target),
        ));
    }
    let overlays: Vec<(&str, &PathBuf)> =
        wanted.iter().filter_map(|(target, overlay)| Some((target.as_str(), overlay.as_ref()?))).collect();
    let mut made: Vec<&PathBuf> = Vec::new();
    for (target, overlay) in &overlays {
        if let Err(error) = create(guest, target, overlay) {
            for path in made {
                let _ = fs::remove_file(path);
            }
            return Err(error);
        }
        made.push(overlay);
    }
    for (target, overlay) in overlays {
        if let Some(disk) = guest.disk(target) {
            disk.push(overlay.clone(), define);
        }
    }
    Ok(())
}

fn create(guest: &mut Guest, target: &str, overlay: &Path) -> Result<(), (Kind, String)> {
    let disk = guest.disk(target).ok_or_else(|| (Kind::Other, format!("no disk {target}")))?;
    match (&disk.job, disk.layers.first()) {
        (None, Some(top)) => overlay::create(overlay, &top.path, &top.format)
            .map_err(|error| (Kind::Exists, format!("external snapshot file for disk {target}: {error}"))),
        _ => Err((Kind::NotInState, format!("disk {target} has an active block job"))),
    }
}

/// The disks of a `<domainsnapshot>`: target, and the overlay where it takes part.
pub(super) fn wanted(xml: &str) -> Result<Vec<Wanted>, String> {
    let document = roxmltree::Document::parse(xml).map_err(|error| error.to_string())?;
    document
        .descendants()
        .filter(|node| node.has_tag_name("disk"))
        .map(|disk| {
            let target = disk.attribute("name").ok_or("a disk without a name")?;
            let source = disk.children().find(|node| node.has_tag_name("source"));
            match disk.attribute("snapshot") {
                Some("no") => Ok((target.to_owned(), None)),
                Some("external") => {
                    let path =
                        source.and_then(|source| source.attribute("file")).ok_or("no overlay named")?;
                    Ok((target.to_owned(), Some(path.into())))
                }
                other => Err(format!("the simulation makes no snapshot of the kind {other:?}")),
            }
        })
        .collect()
}

/// The name in a `<domainsnapshot>`.
pub(super) fn name(xml: &str) -> Result<String, String> {
    let document = roxmltree::Document::parse(xml).map_err(|error| error.to_string())?;
    let name = document.descendants().find(|node| node.has_tag_name("name")).and_then(|node| node.text());
    name.map(str::to_owned).ok_or_else(|| "it has no name".to_owned())
}
