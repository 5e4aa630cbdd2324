//! `stillpoint compare`: what `qemu-img compare` says, and every range that differs.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use stillpoint_qcow2::compare::{CompareError, CompareOptions, Event, Side, Verdict, differences, verdict};
use stillpoint_qcow2::luks::Keyring;
use stillpoint_qcow2::{DiskOptions, GuestView, with_causes};

use crate::cli::{CompareArgs, Global};
use crate::command::keys;
use crate::command::opened::{self, Opened};
use crate::command::source::{qemu_text, system_text, unknown_cache};
use crate::exit::Exit;
use crate::logging;
use crate::output::{self, Format};

pub(crate) fn run(args: &CompareArgs, global: &Global) -> Result<Exit> {
    if args.image_opts {
        logging::complain("--image-opts is not supported: name the images' files");
        return Ok(Exit::Failed);
    }
    let keys = match keys::keyring(&args.disk.keys) {
        Ok(keys) => keys,
        Err(complaint) => return Ok(not_opened(&complaint)),
    };
    if let Some(complaint) = unknown_cache(args.cache.as_deref()) {
        return Ok(not_opened(&complaint));
    }
    let open = |name: &str, format: &Option<String>| {
        opened::open(&args.disk.volume, &args.disk.allow, name, format.as_deref())
    };
    let sides =
        [(&args.first, &args.a_format, &args.a_snapshot), (&args.second, &args.b_format, &args.b_snapshot)];
    let mut chains = Vec::new();
    for (name, format, _) in sides {
        match open(name, format)? {
            Ok(opened) => chains.push(opened),
            Err(complaint) => return Ok(not_opened(&complaint)),
        }
    }
    let mut views = Vec::new();
    for (opened, (name, _, snapshot)) in chains.iter().zip(sides) {
        match view(opened, name, snapshot.as_deref(), &keys) {
            Ok(view) => views.push(view),
            Err(complaint) => return Ok(not_opened(&complaint)),
        }
    }
    let [first, second] = &views[..] else { return Ok(Exit::Failed) };
    if args.ranges || args.output == Format::Json {
        list(args, first, second)
    } else {
        tell(args, global, first, second)
    }
}

fn not_opened(complaint: &str) -> Exit {
    logging::complain(complaint);
    Exit::QemuImg(2)
}

fn view(opened: &Opened, name: &str, snapshot: Option<&str>, keys: &Keyring) -> Result<GuestView, String> {
    let snapshot = opened.snapshot(snapshot).map_err(|why| format!("Could not open '{name}': {why}"))?;
    let options = DiskOptions::default().keys(keys);
    GuestView::open(&opened.chain, snapshot, &*opened.resolver, &options).map_err(|error| {
        let why = qemu_text(&error);
        format!("Could not open '{name}': {why}")
    })
}

/// As qemu-img does.
fn tell(args: &CompareArgs, global: &Global, first: &GuestView, second: &GuestView) -> Result<Exit> {
    let mut progress = Progress { shown: args.progress && !global.quiet, percent: 0.0, last: 0.0, done: 0 };
    progress.begin()?;
    let mut failed = None;
    let mut on = |event| {
        let told = match event {
            Event::Progress { done, total } => progress.step(done, total),
            Event::SizesDiffer if !global.quiet => output::print("Warning: Image size mismatch!\n"),
            _ => Ok(()),
        };
        failed = failed.take().or(told.err());
    };
    let found = verdict(first, second, args.strict, &CompareOptions::default(), &mut on);
    if let Some(error) = failed {
        return Err(error);
    }
    let exit = match found {
        Ok(found) => {
            if found == Verdict::Identical {
                progress.end()?;
            }
            if !global.quiet {
                output::print(&format!("{found}\n"))?;
            }
            if found.exit_code() == 0 { Exit::Done } else { Exit::QemuImg(found.exit_code()) }
        }
        Err(error) => unreadable(args, &error),
    };
    if progress.shown {
        output::print("\n")?;
    }
    Ok(exit)
}

/// Says what can't be read, the cause first, as qemu-img's libraries do.
fn unreadable(args: &CompareArgs, error: &CompareError) -> Exit {
    let name = |side| if side == Side::First { &args.first } else { &args.second };
    let code = match error {
        CompareError::Map { side, source, .. } => {
            logging::complain(&with_causes(source));
            logging::complain(&format!("Sector allocation test failed for {}", name(*side)));
            3
        }
        CompareError::Read { side, offset, source } => {
            logging::complain(&with_causes(source));
            let text = match source.raw_os_error() {
                Some(_) => system_text(source),
                None => "Input/output error".to_owned(),
            };
            logging::complain(&format!("Error while reading offset {offset} of {}: {text}", name(*side)));
            4
        }
        other => {
            logging::complain(&with_causes(other));
            4
        }
    };
    Exit::QemuImg(code)
}

/// How far it is, in the steps in which qemu-img shows it.
struct Progress {
    shown: bool,
    percent: f32,
    last: f32,
    done: u64,
}

impl Progress {
    /// Shown again once it is that much further.
    const STEP: f32 = 2.0;

    fn begin(&self) -> Result<()> {
        self.show(0.0)
    }

    fn step(&mut self, done: u64, total: u64) -> Result<()> {
        // What qemu-img adds up.
        self.percent += (done - self.done) as f32 / total.max(1) as f32 * 100.0;
        self.done = done;
        if self.percent > self.last + Self::STEP {
            self.last = self.percent;
            return self.show(self.percent);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.last < 100.0 { self.show(100.0) } else { Ok(()) }
    }

    fn show(&self, percent: f32) -> Result<()> {
        if self.shown { output::print(&format!("    ({percent:.2}/100%)\r")) } else { Ok(()) }
    }
}

/// What `--ranges` and `--output json` write.
#[derive(Debug, Serialize)]
struct Comparison {
    schema_version: u32,
    identical: bool,
    sizes: [u64; 2],
    /// The first byte that differs.
    first_difference: Option<u64>,
    /// How many bytes are in ranges that differ, where all of them were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_different: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ranges: Option<Vec<Range>>,
    /// Strict mode's finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<String>,
}

#[derive(Debug, Serialize)]
struct Range {
    start: u64,
    length: u64,
}

fn list(args: &CompareArgs, first: &GuestView, second: &GuestView) -> Result<Exit> {
    let mut result = Comparison {
        schema_version: 1,
        identical: true,
        sizes: [first.size(), second.size()],
        first_difference: None,
        bytes_different: None,
        ranges: None,
        strict: None,
    };
    let options = CompareOptions::default();
    let found = if args.ranges {
        gather(args, first, second, &options, &mut result)
    } else {
        verdict(first, second, args.strict, &options, &mut |_| {}).map(|found| {
            result.identical = found == Verdict::Identical;
            match found {
                Verdict::Content { offset } => result.first_difference = Some(offset),
                other => result.strict = args.strict.then(|| other.to_string()),
            }
            String::new()
        })
    };
    let text = match found {
        Ok(text) => text,
        Err(error) => return Ok(unreadable(args, &error)),
    };
    match args.output {
        Format::Json => output::print_json(&result)?,
        Format::Human => output::print(&text)?,
    }
    Ok(if result.identical { Exit::Done } else { Exit::QemuImg(1) })
}

/// Every range that differs; gives the text for people.
fn gather(
    args: &CompareArgs,
    first: &GuestView,
    second: &GuestView,
    options: &CompareOptions,
    result: &mut Comparison,
) -> Result<String, CompareError> {
    let mut text = String::new();
    let (mut bytes, mut ranges, mut count) = (0, Vec::new(), 0_u64);
    for difference in differences(first, second, options) {
        let difference = difference?;
        count += 1;
        bytes += difference.length;
        result.first_difference.get_or_insert(difference.start);
        if args.output == Format::Json {
            ranges.push(Range { start: difference.start, length: difference.length });
        } else {
            // Writing to memory doesn't fail.
            let _ = writeln!(text, "{:#x} {:#x}", difference.start, difference.length);
        }
    }
    result.identical = count == 0;
    result.bytes_different = Some(bytes);
    result.ranges = Some(ranges);
    let _ = match count {
        0 => writeln!(text, "Images are identical."),
        _ => writeln!(text, "{count} ranges differ, {bytes} bytes in all"),
    };
    Ok(text)
}
