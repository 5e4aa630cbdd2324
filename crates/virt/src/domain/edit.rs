//! Changing a definition, by replacing what must change and leaving every other byte.

use std::path::Path;

use super::XmlError;
use super::parse::{child, devices, document};

/// A definition in which the disk `target` is the file `base` of this format, with no backing chain written down
/// (libvirt then finds the chain by reading the images).
///
/// # Errors
/// [`XmlError`] when the XML has no such file-backed disk.
pub fn rebase_definition(
    inactive: &str,
    target: &str,
    base: &Path,
    base_format: &str,
) -> Result<String, XmlError> {
    let missing = |what: &str| XmlError(format!("disk {target} has no {what}"));
    let document = document(inactive)?;
    let disk = devices(document.root_element())
        .filter(|device| device.has_tag_name("disk"))
        .find(|disk| child(*disk, "target").and_then(|t| t.attribute("dev")) == Some(target))
        .ok_or_else(|| missing("entry"))?;
    let base = base.to_str().ok_or_else(|| missing("base whose path is UTF-8"))?;
    if disk.attribute("type") != Some("file") {
        return Err(missing("file behind it"));
    }
    let source = child(disk, "source")
        .and_then(|source| source.attribute_node("file"))
        .ok_or_else(|| missing("source file"))?;
    let format = child(disk, "driver")
        .and_then(|driver| driver.attribute_node("type"))
        .ok_or_else(|| missing("driver type"))?;
    let mut edits = vec![(source.range_value(), escape(base)), (format.range_value(), escape(base_format))];
    edits.extend(child(disk, "backingStore").map(|node| (node.range(), String::new())));
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut xml = inactive.to_owned();
    for (range, text) in edits {
        xml.replace_range(range, &text);
    }
    Ok(xml)
}

/// A text as it may stand in an attribute's value, in either kind of quotes, or between tags.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
