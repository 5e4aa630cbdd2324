//! Whatever describes a volume: no panic, no subvolume without bricks, and no credentials kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_shard::raw::glusterd::{BrickFile, InfoFile};
use stillpoint_shard::{BrickMapping, BrickName, FileRef, Topology};

fuzz_target!(|text: &str| {
    if let Ok(info) = InfoFile::parse(text) {
        for key in ["username=", "password="] {
            let secret =
                text.lines().filter_map(|line| line.strip_prefix(key)).find(|secret| secret.len() > 24);
            let Some(secret) = secret.filter(|secret| text.matches(secret).count() == 1) else { continue };
            // Who takes our own words for a password sees them in what we say without it, too.
            let without = InfoFile::parse(&text.replace(secret, ""));
            assert!(!format!("{info:?}").contains(secret) || format!("{without:?}").contains(secret));
        }
    }
    if let Ok(brick) = BrickFile::parse(text) {
        assert!(brick.path.is_absolute() && !brick.hostname.is_empty());
    }
    if let Ok(topology) = Topology::from_volume_info_xml(text, None) {
        assert!(!topology.subvolumes.is_empty());
        assert!(topology.subvolumes.iter().all(|subvolume| !subvolume.bricks.is_empty()));
        let _ = (topology.to_string(), serde_json::to_string(&topology));
    }
    if let Ok(name) = text.parse::<BrickName>() {
        assert_eq!(name.to_string(), text);
    }
    let _ = (text.parse::<BrickMapping>(), text.parse::<FileRef>());
});
