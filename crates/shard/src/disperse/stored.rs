//! A file read from its fragments.

use std::io;
use std::sync::Arc;

use stillpoint_storage::{Extent, ExtentKind, FileStorage, Storage};

use super::{CHUNK, Code, Decoder};
use crate::topology::BrickName;

/// Bytes that are decoded at a time, about: with the fragments they stay in a core's own cache.
const BATCH: usize = 256 << 10;

/// One brick's fragment, open.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) brick: BrickName,
    pub(crate) storage: FileStorage,
}

/// A file, read from its fragments.
#[derive(Debug)]
pub(crate) struct Fragments {
    code: Code,
    /// As many as are needed, or more where they are to be checked against each other.
    fragments: Vec<Fragment>,
    /// Of the first ones.
    decoder: Arc<Decoder>,
    /// Of the last ones, where there are more than are needed.
    check: Option<Arc<Decoder>>,
    /// Bytes of the file.
    size: u64,
}

/// Why a file can't be read from its fragments.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A brick's fragment can't be read.
    Read(BrickName, io::Error),
    /// The fragments on these bricks contradict each other in so many bytes from that offset on.
    Torn(u64, u64, Vec<BrickName>),
    /// The copies on these bricks differ in so many bytes from that offset on.
    Diverged(u64, u64, Vec<BrickName>),
}

impl Fragments {
    /// A file of `size` bytes. `decoder` is of the first `fragments`, `check` of the last; each fragment is at least
    /// as long as the size makes it.
    pub(crate) const fn new(
        code: Code,
        fragments: Vec<Fragment>,
        decoder: Arc<Decoder>,
        check: Option<Arc<Decoder>>,
        size: u64,
    ) -> Self {
        Self { code, fragments, decoder, check, size }
    }

    pub(crate) const fn len(&self) -> u64 {
        self.size
    }

    /// Reads at `offset` until `buf` is full or the file ends, and tells how many bytes.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Trouble> {
        let rest = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = rest.min(buf.len());
        let stripe = self.code.stripe();
        let at_once = (BATCH / stripe).max(1);
        let (mut coded, mut decoded) = (Vec::new(), Vec::new());
        let mut done = 0;
        while done < n {
            let at = offset + done as u64;
            let (first, within) = (at / stripe as u64, (at % stripe as u64) as usize);
            let stripes = (within + (n - done)).div_ceil(stripe).min(at_once);
            let take = (stripes * stripe - within).min(n - done);
            let to = &mut buf[done..done + take];
            if take == stripes * stripe {
                self.decode(first, &mut coded, to)?;
            } else {
                decoded.resize(stripes * stripe, 0);
                self.decode(first, &mut coded, &mut decoded)?;
                to.copy_from_slice(&decoded[within..within + take]);
            }
            done += take;
        }
        Ok(n)
    }

    /// Fills `stripes` from stripe `first` on. `coded` is room for the fragments' part.
    fn decode(&self, first: u64, coded: &mut Vec<u8>, stripes: &mut [u8]) -> Result<(), Trouble> {
        let needed = self.code.data();
        let len = stripes.len() / needed;
        coded.resize(len * self.fragments.len(), 0);
        for (fragment, part) in self.fragments.iter().zip(coded.chunks_exact_mut(len)) {
            let read = fragment.storage.read_exact_at(first * CHUNK as u64, part);
            read.map_err(|error| Trouble::Read(fragment.brick.clone(), error))?;
        }
        let parts: Vec<&[u8]> = coded.chunks_exact(len).collect();
        let (head, tail) = (&parts[..needed], &parts[parts.len() - needed..]);
        self.decoder.decode(head, stripes);
        if let Some(check) = &self.check {
            let mut again = vec![0; stripes.len()];
            check.decode(tail, &mut again);
            if again != stripes {
                let bricks = self.fragments.iter().map(|fragment| fragment.brick.clone()).collect();
                let (offset, len) = (first * self.code.stripe() as u64, stripes.len() as u64);
                return Err(Trouble::Torn(offset, len, bricks));
            }
        }
        Ok(())
    }

    /// The extent at `offset`, before the end: a hole where all fragments have one, since nothing but zeros is coded
    /// as zeros only.
    pub(crate) fn next_extent(&self, offset: u64) -> io::Result<Extent> {
        let stripe = self.code.stripe() as u64;
        let (chunk, first) = (CHUNK as u64, offset / stripe);
        let (mut hole, mut data) = (u64::MAX, 0);
        for fragment in self.fragments.iter().take(self.code.data()) {
            let extent = fragment.storage.next_extent(first * chunk)?;
            match extent.kind {
                // What a hole leaves of its last chunk is data.
                ExtentKind::Hole => hole = hole.min(extent.end() / chunk),
                ExtentKind::Data | ExtentKind::Unknown => data = data.max(extent.end().div_ceil(chunk)),
            }
        }
        let (kind, end) = match data {
            0 if hole > first => (ExtentKind::Hole, hole),
            _ => (ExtentKind::Data, data.max(first + 1)),
        };
        let end = end.saturating_mul(stripe).min(self.size);
        Ok(Extent { offset, len: end.saturating_sub(offset), kind })
    }
}
