//! `gluster volume geo-replication P S config --xml`, and the report of a command that does something.

use std::collections::BTreeMap;

use roxmltree::Node;

use super::{MAX_ITEMS, child, child_text};
use crate::cli::AnswerProblem;

/// Every option of a session: one element each, `-` in its name replaced by `_`. Given back with `-`.
pub(crate) fn config(root: Node<'_, '_>) -> Result<BTreeMap<String, String>, AnswerProblem> {
    let report = child(root, "geoRep").ok_or(AnswerProblem::Missing("geoRep"))?;
    let config = child(report, "config").ok_or(AnswerProblem::Missing("config"))?;
    let options = config.children().filter(Node::is_element).take(MAX_ITEMS);
    Ok(options
        .map(|o| (o.tag_name().name().replace('_', "-"), o.text().unwrap_or("").trim().to_owned()))
        .collect())
}

/// Whether a command did what it was asked: its report is there. What `opErrstr` says besides is for the log.
pub(crate) fn report(root: Node<'_, '_>) -> Result<String, AnswerProblem> {
    child(root, "geoRep").ok_or(AnswerProblem::Missing("geoRep"))?;
    Ok(child_text(root, "opErrstr").unwrap_or_default().to_owned())
}
