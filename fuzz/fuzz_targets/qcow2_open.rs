//! Any bytes taken for an image: they are described or refused, and memory stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::info::{ImageInfo, InfoOptions};
use stillpoint_qcow2::{Format, Image};

fuzz_target!(|data: &[u8]| {
    let options = InfoOptions::default().format(Some(Format::Qcow2));
    if let Ok(info) = ImageInfo::gather(data, &"image".into(), &options) {
        let json = info.to_json();
        let again: ImageInfo = serde_json::from_str(&json).expect("our JSON reads back");
        assert_eq!(again.to_json(), json);
        assert!(!info.to_text().is_empty());
    }
    let _ = ImageInfo::gather(data, &"image".into(), &InfoOptions::default());
    if let Ok(image) = Image::open(data) {
        assert!(image.snapshots().len() * 40 <= data.len());
        if let Ok(bitmaps) = image.bitmaps() {
            assert!(bitmaps.len() * 24 <= data.len());
        }
    }
});
