//! Opening a chain past what is missing or damaged in it.

use std::io;
use std::sync::Arc;

use stillpoint_storage::{Extent, ExtentKind, Storage};

use super::chain::{Chain, ChainError, ChainOptions, Content, Layer};
use super::disk::{Disk, DiskOptions, in_layer};
use super::layer::{DiskLayer, Qcow2Layer, open_data, table_of};
use super::policy::{Resolver, Source};
use super::{Format, Image, detect};
use crate::Error;
use crate::causes::with_causes;
use crate::tables::Snapshot;

impl Chain {
    /// As [`open`](Self::open), but goes on past what is damaged: each image may be damaged as
    /// [`Image::open_lenient`] allows, and a chain that is broken gets a last layer of which nothing is known. What was
    /// damaged comes with it. For a [`LenientDisk`](crate::LenientDisk).
    ///
    /// # Errors
    /// As [`Image::open_lenient`], for the first layer.
    pub fn open_lenient(
        top: Source,
        format: Option<Format>,
        resolver: &dyn Resolver,
        options: &ChainOptions,
    ) -> Result<(Self, Vec<Error>), Error> {
        let format = match format {
            Some(format) => format,
            None => detect(&top.storage)?,
        };
        let (top, mut damage) = open_layer(top, format)?;
        let mut open = |source: Source, format, depth| {
            let name = source.name.clone();
            let (layer, found) = open_layer(source, format)?;
            damage.extend(found.into_iter().map(|source| {
                let source = Box::new(source);
                Error::from(ChainError::Damaged { name: name.clone(), depth, source })
            }));
            Ok(layer)
        };
        let (mut chain, broken) = Self::follow(top, resolver, options, &mut open);
        if let Some(error) = broken {
            let len = chain.layers.last().map_or(0, Layer::virtual_size);
            let missing = Missing::because("what is below can't be opened", &error, len);
            let source = Source::new(Arc::new(missing), "", None);
            chain.layers.push(Layer { source, content: Content::Raw });
            damage.push(error);
        }
        Ok((chain, damage))
    }
}

/// Opens a layer as far as it goes, and tells what is damaged.
fn open_layer(source: Source, format: Format) -> Result<(Layer, Vec<Error>), Error> {
    let (content, damage) = match format {
        Format::Raw => (Content::Raw, Vec::new()),
        Format::Qcow2 => {
            let (image, damage) = Image::open_lenient(Arc::clone(&source.storage))?;
            (Content::Qcow2(Box::new(image)), damage)
        }
    };
    Ok((Layer { source, content }, damage))
}

impl Disk {
    /// As [`open_with`](Self::open_with), but external data files that can't be opened, and backing images whose L1 table
    /// is damaged, are taken for files of which nothing is known. What was damaged comes with it. For a
    /// [`LenientDisk`](crate::LenientDisk).
    ///
    /// # Errors
    /// When the first image's L1 table breaks a rule or can't be read, or there is no key for a layer that is encrypted:
    /// a key that isn't given is no damage.
    pub fn open_lenient(
        chain: &Chain,
        snapshot: Option<&Snapshot>,
        resolver: &dyn Resolver,
        options: &DiskOptions<'_>,
    ) -> Result<(Self, Vec<Error>), Error> {
        let (mut layers, mut damage) = (Vec::with_capacity(chain.layers().len()), Vec::new());
        for (depth, layer) in chain.layers().iter().enumerate() {
            let Content::Qcow2(image) = layer.content() else {
                layers.push(DiskLayer::Raw(Arc::clone(&layer.source().storage)));
                continue;
            };
            let data = open_data(image, layer, resolver).unwrap_or_else(|error| {
                let len = image.virtual_size().checked_next_multiple_of(1 << 21).unwrap_or(u64::MAX);
                let missing = Missing::because("the data file can't be opened", &error, len);
                damage.push(error);
                Arc::new(missing)
            });
            let table = table_of(image, snapshot.filter(|_| depth == 0));
            match Qcow2Layer::with_data(image, layer, table, data, options) {
                Ok(opened) => layers.push(DiskLayer::Qcow2(Box::new(opened))),
                Err(error @ (Error::Mapping(_) | Error::Io { .. })) if depth > 0 => {
                    let error = in_layer(&layer.source().name, depth, error);
                    let missing =
                        Missing::because("where its data is can't be told", &error, layer.virtual_size());
                    layers.push(DiskLayer::Raw(Arc::new(missing)));
                    damage.push(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok((Self::of_layers(chain, layers), damage))
    }
}

/// In place of a file that can't be opened: nothing of it is known.
struct Missing {
    len: u64,
    reason: String,
}

impl Missing {
    fn because(what: &str, error: &Error, len: u64) -> Self {
        Self { len, reason: format!("{what}: {}", with_causes(error)) }
    }
}

impl Storage for Missing {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || offset >= self.len {
            return Ok(0);
        }
        Err(io::Error::new(io::ErrorKind::NotFound, self.reason.clone()))
    }

    fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        let len = self.len.checked_sub(offset).filter(|&len| len > 0);
        let len = len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "past the end"))?;
        Ok(Extent { offset, len, kind: ExtentKind::Unknown })
    }
}
