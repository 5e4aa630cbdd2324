//! `stillpoint bitmaps`: the bitmaps of an image, and what is set in them.

use std::cell::RefCell;
use std::io;

use anyhow::{Result, anyhow};
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use stillpoint_qcow2::tables::{Bitmap, BitmapFlags};
use stillpoint_qcow2::{DirtyRange, Error, with_causes};

use crate::cli::BitmapsArgs;
use crate::command::alone::{self, OpenedAlone};
use crate::command::source::qemu_text;
use crate::exit::Exit;
use crate::logging;
use crate::output::{self, Format};

pub(crate) fn run(args: &BitmapsArgs) -> Result<Exit> {
    let complain = |complaint: &str| {
        logging::complain(complaint);
        Ok(Exit::Failed)
    };
    let image = match alone::open(&args.volume, &args.file, args.format.as_deref())? {
        Ok(Some(image)) => image,
        Ok(None) => return complain("only qcow2 images have bitmaps"),
        Err(complaint) => return complain(&complaint),
    };
    let mut bitmaps = match image.bitmaps() {
        Ok(bitmaps) => bitmaps,
        Err(error) => {
            let why = qemu_text(&error);
            return complain(&format!("Could not open '{}': {why}", args.file));
        }
    };
    if let Some(wanted) = &args.bitmap {
        bitmaps.retain(|bitmap| bitmap.name.as_bytes() == wanted.as_bytes());
        if bitmaps.is_empty() {
            return complain(&format!("the image has no bitmap '{wanted}'"));
        }
    }
    let failures = RefCell::new(Vec::new());
    match args.output {
        Format::Json => json(args, &image, &bitmaps, &failures)?,
        Format::Human => human(args, &image, &bitmaps, &failures)?,
    }
    let failures = failures.into_inner();
    failures.iter().for_each(|failure: &String| logging::complain(failure));
    // That a bitmap is in use is no fault where nobody asked for its bits.
    Ok(if failures.is_empty() { Exit::Done } else { Exit::Partial })
}

/// Goes over the ranges of a bitmap, and gives the bytes that are dirty; `None` where they can't be told.
fn go_over(
    args: &BitmapsArgs,
    image: &OpenedAlone,
    bitmap: &Bitmap,
    failures: &RefCell<Vec<String>>,
    mut each: impl FnMut(DirtyRange) -> Result<()>,
) -> Result<Option<u64>> {
    let in_use = bitmap.flags.contains(BitmapFlags::IN_USE);
    let fail = |error: &Error| {
        if args.ranges || !in_use {
            failures.borrow_mut().push(with_causes(error));
        }
        Ok(None)
    };
    let ranges = match image.dirty_ranges(bitmap) {
        Ok(ranges) => ranges,
        Err(error) => return fail(&error),
    };
    let mut dirty = 0;
    for range in ranges {
        match range {
            Ok(range) => {
                dirty += range.len;
                each(range)?;
            }
            Err(error) => return fail(&error),
        }
    }
    Ok(Some(dirty))
}

fn flags(bitmap: &Bitmap) -> Vec<&'static str> {
    let flags = [(BitmapFlags::IN_USE, "in-use"), (BitmapFlags::AUTO, "auto")];
    flags.into_iter().filter(|(flag, _)| bitmap.flags.contains(*flag)).map(|(_, name)| name).collect()
}

fn human(
    args: &BitmapsArgs,
    image: &OpenedAlone,
    bitmaps: &[Bitmap],
    failures: &RefCell<Vec<String>>,
) -> Result<()> {
    output::stream(|out| {
        for bitmap in bitmaps {
            let flags = flags(bitmap).join(",");
            let flags = if flags.is_empty() { "none" } else { &flags };
            write!(out, "{}: granularity {}, flags {flags}", bitmap.name, bitmap.granularity)?;
            if args.ranges {
                writeln!(out)?;
            }
            let dirty = go_over(args, image, bitmap, failures, |range| match args.ranges {
                true => Ok(writeln!(out, "  {} {}", range.guest.0, range.len)?),
                false => Ok(()),
            })?;
            if !args.ranges {
                match dirty {
                    Some(dirty) => writeln!(out, ", {dirty} bytes dirty")?,
                    None => writeln!(out, ", dirty bytes not known")?,
                }
            }
        }
        if image.extensions().stale_bitmaps() {
            writeln!(
                out,
                "the image has bitmaps that can't be believed: who wrote it last didn't know of them"
            )?;
        }
        Ok(())
    })
}

#[derive(Serialize)]
struct Listed<'a> {
    schema_version: u32,
    /// As it was named.
    file: &'a str,
    /// The size of the disk in bytes.
    virtual_size: u64,
    /// Whether there are bitmaps that can't be believed, since who wrote the image last didn't know of them.
    stale: bool,
    bitmaps: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: String,
    /// Bytes of the disk that a bit stands for.
    granularity: u64,
    flags: Vec<&'static str>,
    /// Bytes of the disk that are dirty; null where that can't be told. It comes after the ranges, which are counted as
    /// they are written.
    #[serde(flatten)]
    bits: Bits<'a>,
}

/// What is set, read while it is written: there may be more ranges than memory.
struct Bits<'a> {
    args: &'a BitmapsArgs,
    image: &'a OpenedAlone,
    bitmap: &'a Bitmap,
    failures: &'a RefCell<Vec<String>>,
}

impl Serialize for Bits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        let dirty = RefCell::new(None);
        if self.args.ranges {
            map.serialize_entry("ranges", &Ranges { bits: self, dirty: &dirty })?;
        } else {
            let counted = go_over(self.args, self.image, self.bitmap, self.failures, |_| Ok(()));
            *dirty.borrow_mut() = counted.map_err(serde::ser::Error::custom)?;
        }
        map.serialize_entry("dirty_bytes", &*dirty.borrow())?;
        map.end()
    }
}

struct Ranges<'a> {
    bits: &'a Bits<'a>,
    dirty: &'a RefCell<Option<u64>>,
}

#[derive(Serialize)]
struct Range {
    offset: u64,
    length: u64,
}

impl Serialize for Ranges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        let (bits, mut failed) = (self.bits, None);
        let counted = go_over(bits.args, bits.image, bits.bitmap, bits.failures, |range| {
            let range = Range { offset: range.guest.0, length: range.len };
            seq.serialize_element(&range).map_err(|error| {
                failed = Some(error);
                anyhow!("can't write")
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        *self.dirty.borrow_mut() = counted.map_err(serde::ser::Error::custom)?;
        seq.end()
    }
}

fn json(
    args: &BitmapsArgs,
    image: &OpenedAlone,
    bitmaps: &[Bitmap],
    failures: &RefCell<Vec<String>>,
) -> Result<()> {
    let entry = |bitmap| {
        let bits = Bits { args, image, bitmap, failures };
        Entry { name: bitmap.name.to_text(), granularity: bitmap.granularity, flags: flags(bitmap), bits }
    };
    let listed = Listed {
        schema_version: 1,
        file: &args.file,
        virtual_size: image.virtual_size(),
        stale: image.extensions().stale_bitmaps(),
        bitmaps: bitmaps.iter().map(entry).collect(),
    };
    output::stream(|out| {
        serde_json::to_writer_pretty(&mut *out, &listed).map_err(io::Error::from)?;
        Ok(writeln!(out)?)
    })
}
