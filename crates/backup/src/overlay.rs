//! Whether an overlay adds anything to its base: what decides a pivot of which nobody saw the end.

use std::error::Error;
use std::path::{Path, PathBuf};

use stillpoint_qcow2::compare::{CompareOptions, differences};
use stillpoint_qcow2::{Chain, ChainOptions, DiskOptions, Format, GuestView, Source};
use stillpoint_virt::{Comparison, OverlayComparison};

use crate::image::LocalImages;

/// Compares with this project's own reader, which takes no locks and writes nothing.
#[derive(Debug, Clone)]
pub struct ImageComparison {
    /// Below which layers may be named, besides the two files' own directories.
    mount: PathBuf,
}

impl ImageComparison {
    /// Of images whose layers are below `mount`, or beside the two files.
    #[must_use]
    pub fn new(mount: impl Into<PathBuf>) -> Self {
        Self { mount: mount.into() }
    }
}

impl OverlayComparison for ImageComparison {
    fn compare(&self, overlay: &Path, base: &Path) -> Result<Comparison, Box<dyn Error + Send + Sync>> {
        let beside = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_owned();
        let images = LocalImages::below([self.mount.clone(), beside(overlay), beside(base)])?;
        let options = ChainOptions::default();
        let above = Chain::open(Source::open(overlay)?, Some(Format::Qcow2), &images, &options)?;
        let source = Source::open(base)?;
        let Some(below) = above.layers().get(1).filter(|layer| layer.source().id == source.id) else {
            return Err(format!("{} doesn't name {} as its base", overlay.display(), base.display()).into());
        };
        let below = Chain::open(source, Some(below.format()), &images, &options)?;
        let view = |chain: &Chain| GuestView::open(chain, None, &images, &DiskOptions::default());
        // Where the overlay has nothing both are one place of one file, and nothing is read.
        let (with, without) = (view(&above)?, view(&below)?);
        let first = differences(&with, &without, &CompareOptions::default()).next();
        Ok(match first.transpose()? {
            None => Comparison::Equal,
            Some(difference) => Comparison::Differs { first: difference.start },
        })
    }
}
