//! Extracting to a fresh qcow2 image.

use super::compress::Compressor;
use super::copy::Copier;
use super::image::FreshImage;
use super::part::{Part, is_zero};
use super::{ExtractError, ExtractOptions, Extracted, read_disk};
use crate::GuestView;
use crate::map::MapExtent;
use crate::parallel::in_parallel;
use crate::tables::Compression;
use crate::windows::{Window, Windows};

pub(super) fn fill(
    view: &GuestView,
    part: &Part<'_>,
    options: &ExtractOptions,
) -> Result<Extracted, ExtractError> {
    let image = FreshImage::new(part, options.cluster_bits, view.size())?;
    let mut filler = Filler {
        view,
        part,
        image,
        copier: Copier::new(part)?,
        compressor: options.compression.map(Compressor::new),
        windows: Windows::default(),
        threads: options.threads,
        next: 0,
    };
    let total = view.size();
    for extent in view.map().extents() {
        let extent = extent?;
        if extent.data && !extent.zero {
            filler.add(&extent)?;
        }
        part.reached(extent.end())?;
    }
    filler.flush(true)?;
    filler.copier.flush()?;
    let (file_size, written) = filler.image.finish(options.compression.unwrap_or(Compression::Zlib))?;
    let written = written + filler.copier.by_us;
    Ok(Extracted { size: total, by_kernel: filler.copier.by_kernel(), written, file_size })
}

/// What becomes of a cluster.
enum Cluster {
    /// Nothing: it is all zeros.
    Zeros,
    Plain(Vec<u8>),
    Compressed(Vec<u8>),
}

struct Filler<'a> {
    view: &'a GuestView,
    part: &'a Part<'a>,
    image: FreshImage<'a>,
    copier: Copier<'a>,
    compressor: Option<Compressor>,
    /// Whole clusters that are to be read, in bytes of the disk; the last may go past its end.
    windows: Windows,
    threads: usize,
    /// The first of the guest's clusters that nothing was decided about.
    next: u64,
}

impl<'a> Filler<'a> {
    /// Takes the clusters that have something of `extent`, but for those that an extent before it had something of.
    fn add(&mut self, extent: &MapExtent) -> Result<(), ExtractError> {
        let bits = self.image.cluster_size().trailing_zeros();
        let first_whole = extent.start.div_ceil(1 << bits).max(self.next);
        let after_whole = extent.end() >> bits;
        let view = self.view;
        let in_file = view.in_file(extent).filter(|_| self.compressor.is_none());
        if let Some((file, from)) = in_file.filter(|_| first_whole < after_whole) {
            if extent.start >> bits < first_whole {
                self.read(extent.start >> bits, first_whole)?;
            }
            self.flush(true)?;
            let start = first_whole << bits;
            let count = after_whole - first_whole;
            let to = self.image.allocate(first_whole, count)?;
            self.copier.copy(file, from + (start - extent.start), to, count << bits)?;
            self.next = after_whole;
            return self.read(after_whole, extent.end().div_ceil(1 << bits));
        }
        self.read(extent.start >> bits, extent.end().div_ceil(1 << bits))
    }

    /// Has the clusters from `first` to before `end` read.
    fn read(&mut self, first: u64, end: u64) -> Result<(), ExtractError> {
        let bits = self.image.cluster_size().trailing_zeros();
        let mut at = first.max(self.next) << bits;
        while at < end << bits {
            at += self.windows.add(at, (end << bits) - at);
            self.next = at >> bits;
            if self.windows.is_full() {
                self.flush(false)?;
            }
        }
        Ok(())
    }

    /// Reads what was gathered, and stores it.
    fn flush(&mut self, all: bool) -> Result<(), ExtractError> {
        let windows = self.windows.take(all);
        let cluster_size = self.image.cluster_size();
        let (view, part, compressor) = (self.view, self.part, self.compressor.as_ref());
        let done = in_parallel(&windows, self.threads, |ranges| {
            part.go_on()?;
            read_clusters(view, compressor, cluster_size, ranges)
        })?;
        for (guest, cluster) in done.into_iter().flatten() {
            match cluster {
                Cluster::Zeros => continue,
                Cluster::Plain(bytes) => self.image.plain(guest, &bytes)?,
                Cluster::Compressed(stream) => self.image.compressed(guest, &stream)?,
            }
        }
        Ok(())
    }
}

fn read_clusters(
    view: &GuestView,
    compressor: Option<&Compressor>,
    cluster_size: u64,
    ranges: &Window,
) -> Result<Vec<(u64, Cluster)>, ExtractError> {
    let mut clusters = Vec::new();
    for &(start, len) in ranges {
        // What is past the disk's end are zeros.
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        let there = usize::try_from(view.size() - start).unwrap_or(usize::MAX).min(bytes.len());
        read_disk(view, start, bytes.get_mut(..there).unwrap_or_default())?;
        let size = usize::try_from(cluster_size).unwrap_or(usize::MAX);
        for (guest, cluster) in (start / cluster_size..).zip(bytes.chunks(size)) {
            let stored = if is_zero(cluster) {
                Cluster::Zeros
            } else {
                match compressor {
                    None => None,
                    Some(compressor) => compressor.compress(guest * cluster_size, cluster)?,
                }
                .map_or_else(|| Cluster::Plain(cluster.to_vec()), Cluster::Compressed)
            };
            clusters.push((guest, stored));
        }
    }
    Ok(clusters)
}
