//! `gluster volume info`, `volume status` and `volume heal … info summary`, with `--xml`.

use roxmltree::Node;
use uuid::Uuid;

use super::{MAX_ITEMS, available, child, child_text, value};
use crate::cli::AnswerProblem;
use crate::volume::{
    Brick, BrickHeal, BrickName, BrickSpace, BrickState, HealInfo, VolumeInfo, VolumeKind, VolumeState,
    VolumeTask,
};

/// The volume called `name`; `None` when the document has no such volume.
pub(crate) fn volume_info(root: Node<'_, '_>, name: &str) -> Result<Option<VolumeInfo>, AnswerProblem> {
    let info = child(root, "volInfo").ok_or(AnswerProblem::Missing("volInfo"))?;
    let volumes = child(info, "volumes").ok_or(AnswerProblem::Missing("volumes"))?;
    let found = volumes
        .children()
        .filter(|n| n.has_tag_name("volume"))
        .find(|v| child_text(*v, "name") == Some(name));
    let Some(volume) = found else { return Ok(None) };
    let id = child_text(volume, "id").ok_or(AnswerProblem::Missing("id"))?;
    let status = child_text(volume, "status").ok_or(AnswerProblem::Missing("status"))?;
    let kind = child_text(volume, "type").ok_or(AnswerProblem::Missing("type"))?;
    let kind = match kind.parse::<u32>().map_err(|_| value("type", kind))? {
        0 => VolumeKind::Distribute,
        2 | 7 => VolumeKind::Replicate,
        4 | 9 => VolumeKind::Disperse,
        _ => VolumeKind::Other,
    };
    let set = match kind {
        VolumeKind::Distribute => None,
        VolumeKind::Replicate => Some("replicaCount"),
        VolumeKind::Disperse => Some("disperseCount"),
        VolumeKind::Other => Some("distCount"),
    };
    let list = child(volume, "bricks").ok_or(AnswerProblem::Missing("bricks"))?;
    let mut bricks = Vec::new();
    for brick in list.children().filter(|n| n.has_tag_name("brick")).take(MAX_ITEMS) {
        bricks.push(self::brick(brick)?);
    }
    let options = child(volume, "options").into_iter().flat_map(|o| o.children());
    Ok(Some(VolumeInfo {
        name: name.to_owned(),
        id: Uuid::parse_str(id).map_err(|_| value("id", id))?,
        started: status == "1",
        kind,
        bricks_per_subvolume: match set {
            None => 1,
            Some(name) => {
                let text = child_text(volume, name).ok_or(AnswerProblem::Missing(name))?;
                text.parse::<usize>().map_err(|_| value(name, text))?.max(1)
            }
        },
        bricks,
        options: options
            .filter(|n| n.has_tag_name("option"))
            .take(MAX_ITEMS)
            .filter_map(|o| Some((child_text(o, "name")?.to_owned(), child_text(o, "value")?.to_owned())))
            .collect(),
    }))
}

fn brick(node: Node<'_, '_>) -> Result<Brick, AnswerProblem> {
    // The element has the name twice: as its own text, and in a child.
    let name = child_text(node, "name")
        .or_else(|| node.text().map(str::trim))
        .ok_or(AnswerProblem::Missing("name"))?;
    let node_id = available(child_text(node, "hostUuid")).or_else(|| node.attribute("uuid"));
    Ok(Brick {
        name: BrickName::parse(name).ok_or_else(|| value("brick", name))?,
        node: node_id.and_then(|t| Uuid::parse_str(t).ok()),
        arbiter: child_text(node, "isArbiter") == Some("1"),
    })
}

/// A volume in a status document.
fn status_of<'a, 'input>(root: Node<'a, 'input>, name: &str) -> Result<Node<'a, 'input>, AnswerProblem> {
    let status = child(root, "volStatus").ok_or(AnswerProblem::Missing("volStatus"))?;
    let volumes = child(status, "volumes").ok_or(AnswerProblem::Missing("volumes"))?;
    volumes
        .children()
        .filter(|n| n.has_tag_name("volume"))
        .find(|v| child_text(*v, "volName") == Some(name))
        .ok_or(AnswerProblem::Missing("volume"))
}

/// The processes of a volume in a status document.
fn nodes<'a, 'input>(
    root: Node<'a, 'input>,
    name: &str,
) -> Result<impl Iterator<Item = Node<'a, 'input>>, AnswerProblem> {
    Ok(status_of(root, name)?.children().filter(|n| n.has_tag_name("node")).take(MAX_ITEMS))
}

/// Which bricks of the volume called `name` run, and its tasks. Other processes (self-heal daemons, NFS) are left out.
pub(crate) fn volume_state(root: Node<'_, '_>, name: &str) -> Result<VolumeState, AnswerProblem> {
    let nodes = nodes(root, name)?;
    let bricks = nodes
        .filter_map(|n| {
            let (host, path) = (child_text(n, "hostname")?, child_text(n, "path")?);
            let name =
                path.starts_with('/').then(|| BrickName { host: host.to_owned(), path: path.to_owned() })?;
            Some(BrickState { name, online: child_text(n, "status") == Some("1") })
        })
        .collect();
    let tasks = child(status_of(root, name)?, "tasks").into_iter().flat_map(|t| t.children());
    let tasks = tasks.filter(|n| n.has_tag_name("task")).take(MAX_ITEMS).map(task).collect();
    Ok(VolumeState { bricks, tasks })
}

/// How much room the bricks of the volume called `name` have; bricks that don't run tell nothing.
pub(crate) fn brick_space(root: Node<'_, '_>, name: &str) -> Result<Vec<BrickSpace>, AnswerProblem> {
    let number = |node, name| child_text(node, name).and_then(|t| t.parse::<u64>().ok());
    Ok(nodes(root, name)?
        .filter_map(|n| {
            let name = BrickName {
                host: child_text(n, "hostname")?.to_owned(),
                path: child_text(n, "path")?.to_owned(),
            };
            Some(BrickSpace { name, total: number(n, "sizeTotal")?, free: number(n, "sizeFree")? })
        })
        .collect())
}

/// A task's `status` is a number of glusterd's: 0 not started, 1 started (`in progress`), 2 stopped, 3 complete, 4
/// failed; and of a removal of bricks, or a rebalance of the layout alone, that it goes on. The words are asked first.
fn task(node: Node<'_, '_>) -> VolumeTask {
    let words = child_text(node, "statusStr").unwrap_or_default();
    let over = ["completed", "failed", "stopped", "not started"];
    let in_progress = match words {
        "" => child_text(node, "status") == Some("1"),
        words => !over.contains(&words),
    };
    VolumeTask { kind: child_text(node, "type").unwrap_or("a task").to_owned(), in_progress }
}

/// What waits to be healed.
pub(crate) fn heal_info(root: Node<'_, '_>) -> Result<HealInfo, AnswerProblem> {
    let info = child(root, "healInfo").ok_or(AnswerProblem::Missing("healInfo"))?;
    let list = child(info, "bricks").ok_or(AnswerProblem::Missing("bricks"))?;
    let mut bricks = Vec::new();
    for brick in list.children().filter(|n| n.has_tag_name("brick")).take(MAX_ITEMS) {
        let number = |name| available(child_text(brick, name)).and_then(|t| t.parse::<u64>().ok());
        bricks.push(BrickHeal {
            brick: child_text(brick, "name").ok_or(AnswerProblem::Missing("name"))?.to_owned(),
            connected: child_text(brick, "status") == Some("Connected"),
            entries: number("totalNumberOfEntries").or_else(|| number("numberOfEntries")),
            pending: number("numberOfEntriesInHealPending"),
            split_brain: number("numberOfEntriesInSplitBrain"),
        });
    }
    Ok(HealInfo { bricks })
}
