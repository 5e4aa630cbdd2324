//! Whatever is taken for a volfile or for a log with some: no panic, no subvolume without bricks, and no credentials
//! kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_shard::Topology;
use stillpoint_shard::raw::log;
use stillpoint_shard::raw::volfile::Volfile;

/// What a line gives as credentials.
fn secret(line: &str) -> Option<&str> {
    let (key, value) = line.trim().strip_prefix("option ")?.split_once(' ')?;
    matches!(key, "username" | "password").then_some(value)
}

fn judge(topology: &Topology) -> String {
    assert!(!topology.subvolumes.is_empty());
    assert!(topology.subvolumes.iter().all(|subvolume| !subvolume.bricks.is_empty()));
    assert!(topology.bricks().all(|brick| brick.name.path.is_absolute() && brick.client.is_some()));
    format!("{topology} {topology:?}")
}

/// All that can be seen of a volfile.
fn shown(text: &str) -> String {
    let mut shown = match Topology::from_volfile(text, None) {
        Ok(topology) => judge(&topology),
        Err(error) => error.to_string(),
    };
    if let Ok(volfile) = Volfile::parse(text) {
        shown.push_str(&format!("{volfile:?}"));
    }
    shown
}

fuzz_target!(|bytes: &[u8]| {
    let _ = log::for_each_volfile(bytes, |logged| {
        assert!(logged.line > 0 && !logged.volfile.translators.is_empty());
    });
    for back in [0, 1] {
        if let Ok(topology) = Topology::from_log(bytes, None, back) {
            judge(&topology);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let said = shown(text);
    let once = |secret: &&str| secret.len() > 24 && text.matches(secret).count() == 1;
    for secret in text.lines().filter_map(secret).filter(once) {
        // Who takes our own words for a password sees them in what we say without it, too.
        assert!(!said.contains(secret) || shown(&text.replace(secret, "")).contains(secret));
    }
});
