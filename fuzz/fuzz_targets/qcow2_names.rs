//! Names in images: plain, with protocols, and as JSON; and QEMU's own JSON, read into the model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::info::ImageInfo;
use stillpoint_qcow2::{Name, Reference, ReferenceKind, Target};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (image, stored) = (Name::new(input.0), Name::new(input.1));
    for stored in [stored.clone(), Name::new([b"json:", stored.as_bytes()].concat())] {
        if let Ok(reference) = Reference::parse(ReferenceKind::Backing, &image, &stored)
            && let Target::File { path, .. } = reference.target
        {
            // A name that is not JSON never loses what comes after the directory.
            if !stored.as_bytes().starts_with(b"json:") && !stored.as_bytes().starts_with(b"file:") {
                assert!(
                    path.as_bytes().ends_with(stored.as_bytes()) || image.as_bytes().starts_with(b"file:")
                );
            }
        }
        let _ = stored.to_text();
    }
    if let Ok(info) = serde_json::from_slice::<ImageInfo>(input.1) {
        let json = info.to_json();
        let again: ImageInfo = serde_json::from_str(&json).expect("our JSON reads back");
        assert_eq!(again.to_json(), json);
        let _ = info.to_text();
    }
});
