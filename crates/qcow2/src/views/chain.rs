//! An image and what it reads on in.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use stillpoint_storage::Storage;

use super::policy::{FileId, Resolver, Source};
use super::reference::{Reference, ReferenceError, ReferenceKind, Target};
use super::{Format, Image, detect};
use crate::tables::limits::DEFAULT_MAX_DEPTH;
use crate::{Error, Name};

/// How a chain is followed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChainOptions {
    /// Most layers. 256 unless said otherwise.
    pub max_depth: usize,
    /// Whether a backing file's format is found out by its first bytes where the image doesn't tell it. QEMU does
    /// so. Off unless said otherwise: a guest that wrote a qcow2 header into its raw disk would otherwise choose
    /// what is opened next.
    pub detect_backing_format: bool,
}

impl Default for ChainOptions {
    fn default() -> Self {
        Self { max_depth: DEFAULT_MAX_DEPTH, detect_backing_format: false }
    }
}

impl ChainOptions {
    /// Sets the most layers that are followed.
    #[must_use]
    pub const fn max_depth(mut self, layers: usize) -> Self {
        self.max_depth = layers;
        self
    }

    /// Sets whether a format that the image doesn't tell is found out.
    #[must_use]
    pub const fn detect_backing_format(mut self, detect: bool) -> Self {
        self.detect_backing_format = detect;
        self
    }
}

/// A chain that can't be followed to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// It comes back to a file that is in it already.
    #[error("the backing file {0:?} is in the chain already: the chain has no end; rebase one of its images")]
    Loop(Name),
    /// It has more layers than are followed.
    #[error("the chain has more than {0} layers; raise the limit if that is meant")]
    TooDeep(usize),
    /// The image doesn't tell its backing file's format.
    #[error(
        "the image does not tell the format of its backing file {0:?}, and guessing is not safe; \
        rebase it with a format, or ask for guessing if the file is trusted"
    )]
    NoFormat(Name),
    /// A layer below the first is damaged, and was gone past what is damaged in it.
    #[error("the backing file {name:?}, layer {depth} of the chain, is damaged")]
    Damaged {
        /// Its full name.
        name: Name,
        /// Which layer, the first backing file being 1.
        depth: usize,
        /// What is damaged.
        source: Box<Error>,
    },
    /// A layer below the first can't be read.
    #[error("the backing file {name:?}, layer {depth} of the chain, can't be read")]
    Layer {
        /// Its full name.
        name: Name,
        /// Which layer, the first backing file being 1.
        depth: usize,
        /// Why.
        source: Box<Error>,
    },
}

/// What a layer holds.
#[derive(Debug)]
#[non_exhaustive]
pub enum Content {
    /// A qcow2 image.
    Qcow2(Box<Image<Arc<dyn Storage>>>),
    /// A raw disk.
    Raw,
}

/// One file of a chain.
#[derive(Debug)]
pub struct Layer {
    pub(super) source: Source,
    pub(super) content: Content,
}

impl Layer {
    fn open(source: Source, format: Format) -> Result<Self, Error> {
        let content = match format {
            Format::Qcow2 => Content::Qcow2(Box::new(Image::open(Arc::clone(&source.storage))?)),
            Format::Raw => Content::Raw,
        };
        Ok(Self { source, content })
    }

    /// The open file and its name.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// What it holds.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// The image, if it is one.
    #[must_use]
    pub fn image(&self) -> Option<&Image<Arc<dyn Storage>>> {
        match &self.content {
            Content::Qcow2(image) => Some(image),
            Content::Raw => None,
        }
    }

    /// Its format.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self.content {
            Content::Qcow2(_) => Format::Qcow2,
            Content::Raw => Format::Raw,
        }
    }

    /// The size of the disk that it holds, in bytes; that of a raw one is rounded up to whole sectors of 512.
    #[must_use]
    pub fn virtual_size(&self) -> u64 {
        match &self.content {
            Content::Qcow2(image) => image.virtual_size(),
            Content::Raw => whole_sectors(self.source.storage.len()),
        }
    }

    /// What it names as its backing file.
    ///
    /// # Errors
    /// When the name can't be understood.
    pub fn backing(&self) -> Result<Option<Reference>, Error> {
        let Some(backing) = self.image().and_then(|image| image.header().backing()) else { return Ok(None) };
        let stored = Name::from_c(backing.stored.as_bytes());
        if stored.is_empty() {
            return Ok(None);
        }
        Ok(Some(Reference::parse(ReferenceKind::Backing, &self.source.name, &stored)?))
    }
}

/// `len` rounded up to whole sectors of 512 bytes, as QEMU counts the length of a file.
pub(crate) const fn whole_sectors(len: u64) -> u64 {
    match len.checked_next_multiple_of(512) {
        Some(rounded) => rounded,
        None => !511,
    }
}

/// An image with all its backing files, the image first.
pub struct Chain {
    pub(super) layers: Vec<Layer>,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.layers.iter().map(|layer| (layer.format(), &layer.source.name))).finish()
    }
}

impl Chain {
    /// Opens `top`, and what it and those below it name, through `resolver`.
    ///
    /// `format` is that of `top`; without it, it is found out by its first bytes.
    ///
    /// # Errors
    /// When a layer can't be read, a name isn't allowed or leads nowhere, or the chain has no end.
    pub fn open(
        top: Source,
        format: Option<Format>,
        resolver: &dyn Resolver,
        options: &ChainOptions,
    ) -> Result<Self, Error> {
        match Self::open_readable(top, format, resolver, options)? {
            (chain, None) => Ok(chain),
            (_, Some(error)) => Err(error),
        }
    }

    /// As [`open`](Self::open), but where the chain is broken below its first layer gives what is above the
    /// break, with the error. A chain of which a part is missing can still be described and checked.
    ///
    /// # Errors
    /// When the first layer itself can't be read.
    pub fn open_readable(
        top: Source,
        format: Option<Format>,
        resolver: &dyn Resolver,
        options: &ChainOptions,
    ) -> Result<(Self, Option<Error>), Error> {
        let format = match format {
            Some(format) => format,
            None => detect(&top.storage)?,
        };
        let top = Layer::open(top, format)?;
        Ok(Self::follow(top, resolver, options, &mut |source, format, _| Layer::open(source, format)))
    }

    /// Opens what is below `last` with `open`, which is told the layer's number, up to the end or to where the chain
    /// is broken.
    pub(super) fn follow(
        mut last: Layer,
        resolver: &dyn Resolver,
        options: &ChainOptions,
        open: &mut dyn FnMut(Source, Format, usize) -> Result<Layer, Error>,
    ) -> (Self, Option<Error>) {
        let mut seen = HashSet::from([identity(&last.source)]);
        let mut layers = Vec::new();
        loop {
            let depth = layers.len() + 1;
            let next = below(&last, depth, &mut seen, resolver, options, open);
            layers.push(last);
            match next {
                Ok(Some(layer)) => last = layer,
                Ok(None) => return (Self { layers }, None),
                Err(error) => return (Self { layers }, Some(error)),
            }
        }
    }

    /// The layers, the image itself first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }
}

/// What a file is known by: what tells it from others or, without that, its name.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    File(FileId),
    Name(Name),
}

fn identity(source: &Source) -> Identity {
    source.id.clone().map_or_else(|| Identity::Name(source.name.clone()), Identity::File)
}

/// Opens what `layer` names, the layer number `depth`.
fn below(
    layer: &Layer,
    depth: usize,
    seen: &mut HashSet<Identity>,
    resolver: &dyn Resolver,
    options: &ChainOptions,
    open: &mut dyn FnMut(Source, Format, usize) -> Result<Layer, Error>,
) -> Result<Option<Layer>, Error> {
    let Some(reference) = layer.backing()? else { return Ok(None) };
    if depth >= options.max_depth {
        return Err(ChainError::TooDeep(options.max_depth).into());
    }
    let source = resolver.resolve(&reference).map_err(|error| match &error {
        // What is refused names itself.
        ReferenceError::Open { path, .. } => {
            ChainError::Layer { name: path.clone(), depth, source: Box::new(error.into()) }.into()
        }
        _ => Error::from(error),
    })?;
    let name = source.name.clone();
    if !seen.insert(identity(&source)) {
        return Err(ChainError::Loop(name).into());
    }
    let failed =
        |error| Error::from(ChainError::Layer { name: name.clone(), depth, source: Box::new(error) });
    let told = layer.image().and_then(|image| image.extensions().backing_format());
    let told = told.filter(|format| !format.is_empty()).or(match &reference.target {
        Target::File { format, .. } => format.as_ref(),
        Target::Protocol { .. } => None,
    });
    let format = match told {
        Some(told) => Format::from_name(told).map_err(failed)?,
        None if options.detect_backing_format => detect(&source.storage).map_err(failed)?,
        None => return Err(ChainError::NoFormat(name).into()),
    };
    open(source, format, depth).map(Some).map_err(failed)
}
