//! Whatever is taken for the name of a session is written as something that reads as the same, and can't be taken for
//! an option.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_georep::{BrickName, SessionName};

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<SessionName>() {
        assert_eq!(name.to_string().parse::<SessionName>().as_ref(), Ok(&name));
        assert!(!name.primary_volume().starts_with('-') && !name.secondary().starts_with('-'));
    }
    if let Some(brick) = BrickName::parse(text) {
        assert_eq!(brick.to_string(), text);
    }
});
