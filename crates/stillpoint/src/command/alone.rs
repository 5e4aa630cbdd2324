//! An image by itself: nothing that it names is opened.

use std::sync::Arc;

use anyhow::Result;
use stillpoint_qcow2::{Format, Image, Name, detect};
use stillpoint_storage::Storage;

use crate::cli::VolumeArgs;
use crate::command::source::{self, qemu_text};

/// An image that was opened by itself.
pub(crate) type OpenedAlone = Image<Arc<dyn Storage>>;

/// Opens the image `name`, `None` where the file is in a format that has nothing but a disk; or tells why that can't be
/// done, in qemu-img's words where it has some.
pub(crate) fn open(
    volume: &VolumeArgs,
    name: &str,
    format: Option<&str>,
) -> Result<Result<Option<OpenedAlone>, String>> {
    let could_not_open = |why: String| Ok(Err(format!("Could not open '{name}': {why}")));
    let format = match format.map(|wanted| (wanted, Format::from_name(&Name::from(wanted)))) {
        None => None,
        Some((_, Ok(format))) => Some(format),
        Some((wanted, Err(_))) => return could_not_open(format!("Unknown driver '{wanted}'")),
    };
    let source = match source::image(volume, name)? {
        Ok(source) => source,
        Err(why) => return could_not_open(why),
    };
    let opened = format.map_or_else(|| detect(&source.storage), Ok).and_then(|format| match format {
        Format::Raw => Ok(None),
        Format::Qcow2 => Image::open(source.storage).map(Some),
    });
    match opened {
        Ok(image) => Ok(Ok(image)),
        Err(error) => could_not_open(qemu_text(&error)),
    }
}
