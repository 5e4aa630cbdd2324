//! Names of the form `json:{…}`: QEMU's options of a block device as JSON.
//!
//! Of these, what leads to a plain file is understood: the driver `file` (or `host_device`), alone or below a
//! format, nested or with dots in the keys. A key whose meaning isn't known here refuses the name: to ignore
//! it could mean to read other bytes than QEMU does (`offset` of the raw driver is such a key).

use serde_json::{Map, Value};

use super::Target;
use crate::Name;

/// Keys that change nothing of what is read.
const HARMLESS: [&str; 11] = [
    "node-name",
    "read-only",
    "auto-read-only",
    "force-share",
    "discard",
    "detect-zeroes",
    "cache",
    "locking",
    "aio",
    "drop-cache",
    "x-check-cache-dropped",
];

/// Drivers of plain files and devices.
const FILE_DRIVERS: [&str; 2] = ["file", "host_device"];

/// The text after `json:`, if the name begins so.
pub(super) fn text(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(b"json:")
}

/// What the text stands for; an error says what isn't understood.
pub(super) fn parse(text: &[u8]) -> Result<Target, String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let Value::Object(mut top) = value else { return Err("its JSON is not an object".into()) };
    unfold(&mut top)?;
    let driver = take_text(&mut top, "driver")?;
    if driver.as_deref().is_some_and(|driver| FILE_DRIVERS.contains(&driver)) {
        return Ok(Target::File { path: file(top)?, format: None });
    }
    let lower = match top.remove("file") {
        Some(Value::Object(lower)) => lower,
        Some(_) => return Err("its \"file\" is not an object".into()),
        None => return Err("it has no \"file\"".into()),
    };
    refuse_others(&top)?;
    let mut lower = lower;
    match take_text(&mut lower, "driver")? {
        None => {}
        Some(driver) if FILE_DRIVERS.contains(&driver.as_str()) => {}
        Some(driver) => return Ok(Target::Protocol { scheme: driver.into() }),
    }
    Ok(Target::File { path: file(lower)?, format: driver.map(Name::from) })
}

/// The path of a file driver's options.
fn file(mut options: Map<String, Value>) -> Result<Name, String> {
    let path = take_text(&mut options, "filename")?.ok_or("it has no \"filename\"")?;
    refuse_others(&options)?;
    Ok(path.into())
}

/// Puts keys such as `file.filename` where they belong.
fn unfold(top: &mut Map<String, Value>) -> Result<(), String> {
    let dotted: Vec<String> = top.keys().filter(|key| key.starts_with("file.")).cloned().collect();
    for key in dotted {
        let (Some(value), Some(inner)) = (top.remove(&key), key.strip_prefix("file.")) else { continue };
        let lower = top.entry("file").or_insert_with(|| Value::Object(Map::new()));
        match lower {
            Value::Object(lower) if !lower.contains_key(inner) => {
                lower.insert(inner.to_owned(), value);
            }
            _ => return Err(format!("its key {key:?} is there twice")),
        }
    }
    Ok(())
}

fn take_text(options: &mut Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match options.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("its {key:?} is not a text")),
    }
}

fn refuse_others(options: &Map<String, Value>) -> Result<(), String> {
    let harmless = |key: &str| HARMLESS.contains(&key) || key.starts_with("cache.");
    match options.keys().find(|key| !harmless(key)) {
        Some(key) => Err(format!("its key {key:?} is not understood here")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<Target, String> {
        parse(text.as_bytes())
    }

    #[test]
    fn nested_and_dotted_keys_mean_the_same() {
        let expected = Ok(Target::File { path: "a".into(), format: Some("raw".into()) });
        assert_eq!(path(r#"{"driver":"raw","file":{"driver":"file","filename":"a"}}"#), expected);
        assert_eq!(path(r#"{"driver":"raw","file.driver":"file","file.filename":"a"}"#), expected);
        assert_eq!(path(r#"{"driver":"raw","file.filename":"a"}"#), expected);
    }

    #[test]
    fn a_file_driver_alone_tells_no_format() {
        let expected = Ok(Target::File { path: "a".into(), format: None });
        assert_eq!(path(r#"{"driver":"file","filename":"a","locking":"off"}"#), expected);
        assert_eq!(path(r#"{"file.filename":"a"}"#), expected);
    }

    /// QEMU's limit is 1024. A name in an extension may be as long as a cluster, 2 MiB.
    #[test]
    fn objects_within_objects_have_a_limit() {
        let nested = |depth: usize| {
            let text =
                r#"{"file":"#.repeat(depth) + r#"{"driver":"file","filename":"a"}"# + &"}".repeat(depth);
            path(&text)
        };
        assert!(nested(1).is_ok());
        for depth in [1024, 1025, 250_000] {
            assert!(nested(depth).is_err(), "{depth}");
        }
    }

    #[test]
    fn another_protocol_is_told_as_such() {
        let found = path(r#"{"driver":"qcow2","file":{"driver":"nbd","host":"h"}}"#);
        assert_eq!(found, Ok(Target::Protocol { scheme: "nbd".into() }));
    }

    #[test]
    fn what_would_change_the_bytes_is_refused() {
        for text in [
            r#"{"driver":"raw","offset":512,"file":{"driver":"file","filename":"a"}}"#,
            r#"{"driver":"qcow2","backing":null,"file":{"driver":"file","filename":"a"}}"#,
            r#"{"driver":"qcow2","file":"node"}"#,
            r#"{"driver":"qcow2","file":{"driver":"file"}}"#,
            r#"{"file.filename":"a","file":{"filename":"b"}}"#,
            r#"{"driver":7}"#,
            r#"{}"#,
            r#"[]"#,
            r#"{"#,
        ] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
