//! Reading what `gluster … --xml` prints. Nothing here trusts an exit code, an element's presence, or that the
//! document is whole.

mod config;
mod status;
mod volume;

use roxmltree::{Document, Node};

use crate::cli::{AnswerError, AnswerProblem, CliError, CliErrorKind, clip, plain_complaint};
use crate::error::Error;
use crate::runner::Output;

pub(crate) use config::{config, report};
pub(crate) use status::workers;
pub(crate) use volume::{brick_space, heal_info, volume_info, volume_state};

/// Longest list of rows, bricks or options that is read; Gluster's own limits are far below.
pub(crate) const MAX_ITEMS: usize = 100_000;

/// Reads an answer: the text may be a plain complaint, an XML document whose `opRet` says that the operation failed,
/// or one that `read` makes something of.
pub(crate) fn read<T>(
    command: &str,
    output: &Output,
    read: impl FnOnce(Node<'_, '_>) -> Result<T, AnswerProblem>,
) -> Result<T, Error> {
    let unreadable = |problem: AnswerProblem| AnswerError {
        command: command.to_owned(),
        problem,
        excerpt: clip(&String::from_utf8_lossy(output.stdout.get(..800).unwrap_or(&output.stdout)), 200),
    };
    if output.truncated {
        return Err(unreadable(AnswerProblem::TooLong).into());
    }
    let text = std::str::from_utf8(&output.stdout).map_err(|_| unreadable(AnswerProblem::Encoding))?;
    // Warnings can come before the document.
    let Some(begin) = text.find("<?xml").or_else(|| text.find("<cliOutput")) else {
        return Err(match plain_complaint(output) {
            Some(message) => refusal(command, message).into(),
            None => unreadable(AnswerProblem::Empty).into(),
        });
    };
    let text = text.get(begin..).unwrap_or_default();
    let document =
        Document::parse(text).map_err(|e| unreadable(AnswerProblem::Xml(clip(&e.to_string(), 200))))?;
    let root = document.root_element();
    if !root.has_tag_name("cliOutput") {
        return Err(unreadable(AnswerProblem::Missing("cliOutput")).into());
    }
    let code = child_text(root, "opRet").ok_or_else(|| unreadable(AnswerProblem::Missing("opRet")))?;
    if code != "0" {
        let said = child_text(root, "opErrstr").filter(|t| !t.is_empty() && *t != "(null)");
        let message = match (said, child_text(root, "output").filter(|t| !t.is_empty())) {
            (Some(said), _) | (None, Some(said)) => clip(said, 512),
            (None, None) => {
                let errno = clip(child_text(root, "opErrno").unwrap_or("?"), 20);
                plain_complaint(&Output { stdout: Vec::new(), ..output.clone() }).unwrap_or_else(|| {
                    format!("refused without a reason (opRet {}, opErrno {errno})", clip(code, 20))
                })
            }
        };
        return Err(refusal(command, message).into());
    }
    read(root).map_err(|p| unreadable(p).into())
}

fn refusal(command: &str, message: String) -> CliError {
    CliError { command: command.to_owned(), kind: CliErrorKind::classify(&message), message }
}

/// The child element called `name`.
fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|c| c.has_tag_name(name))
}

/// The trimmed text of the child element called `name`; an empty element is an empty text.
fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name).map(|c| c.text().unwrap_or("").trim())
}

/// The text of the first child element that has one of `names`: the vocabulary changed with Gluster 10.
fn either<'a>(node: Node<'a, '_>, names: [&str; 2]) -> Option<&'a str> {
    names.into_iter().find_map(|name| child_text(node, name))
}

/// A text that may say `N/A`.
fn available(text: Option<&str>) -> Option<&str> {
    text.filter(|t| !t.is_empty() && !t.eq_ignore_ascii_case("n/a"))
}

fn value(element: &'static str, text: &str) -> AnswerProblem {
    AnswerProblem::Value { element, text: clip(text, 100) }
}
