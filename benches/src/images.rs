//! Images that are measured on, made once by qemu-img and qemu-io and kept.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// An image, by the shape of what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 64 KiB clusters here and there over 20 GiB, allocated in order.
    Ordered,
    /// 4 KiB clusters here and there over 20 GiB, allocated in any order.
    Fragmented,
    /// 1 TiB with a cluster every 64 MiB.
    Sparse,
    /// Texts and records, stored as they are.
    Plain,
    /// The same, compressed with zlib.
    Zlib,
    /// The same, compressed with zstd.
    Zstd,
}

impl Shape {
    /// What it is called in a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordered => "64 KiB clusters in order",
            Self::Fragmented => "4 KiB clusters in any order",
            Self::Sparse => "1 TiB sparse",
            Self::Plain => "texts and records, plain",
            Self::Zlib => "texts and records, zlib",
            Self::Zstd => "texts and records, zstd",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Ordered => "ordered.qcow2",
            Self::Fragmented => "fragmented.qcow2",
            Self::Sparse => "sparse.qcow2",
            Self::Plain => "plain.qcow2",
            Self::Zlib => "zlib.qcow2",
            Self::Zstd => "zstd.qcow2",
        }
    }
}

/// The images, in a directory that is kept.
#[derive(Debug, Clone)]
pub struct Images {
    directory: PathBuf,
    /// How many times smaller than full size.
    part: u64,
}

impl Images {
    /// Images below `parent`; `quick` ones hold a sixteenth.
    ///
    /// # Errors
    /// When the directory can't be made.
    pub fn new(parent: &Path, quick: bool) -> Result<Self> {
        let directory = parent.join(if quick { "images-quick" } else { "images" });
        fs::create_dir_all(&directory).with_context(|| format!("no directory {}", directory.display()))?;
        Ok(Self { directory, part: if quick { 16 } else { 1 } })
    }

    /// Where an image is; it is made if it isn't there.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn path(&self, shape: Shape) -> Result<PathBuf> {
        let path = self.directory.join(shape.file());
        if path.exists() {
            return Ok(path);
        }
        eprintln!("making {} once", path.display());
        let unfinished = path.with_extension("unfinished");
        let _ = fs::remove_file(&unfinished);
        match shape {
            Shape::Ordered => {
                let places = some_of(20 << 14, 32768 / self.part, 1);
                let places = places.into_iter().map(|place| place << 16);
                written(&unfinished, "20G", "64k", 64 << 10, places)?;
            }
            Shape::Fragmented => {
                let mut places: Vec<_> = some_of(20 << 18, 262_144 / self.part, 2).into_iter().collect();
                shuffle(&mut places);
                let places = places.into_iter().map(|place| place << 12);
                written(&unfinished, "20G", "4k", 4 << 10, places)?;
            }
            Shape::Sparse => {
                let places = (0..16384 / self.part).map(|place| place << 26);
                written(&unfinished, "1T", "64k", 64 << 10, places)?;
            }
            Shape::Plain | Shape::Zlib | Shape::Zstd => self.converted(shape, &unfinished)?,
        }
        fs::rename(&unfinished, &path).context("the image can't be renamed")?;
        Ok(path)
    }

    fn converted(&self, shape: Shape, to: &Path) -> Result<()> {
        let raw = self.directory.join("payload.raw");
        if !raw.exists() {
            payload(&raw, (2 << 30) / self.part, (8 << 30) / self.part)?;
        }
        let options: &[&str] = match shape {
            Shape::Zlib => &["-c"],
            Shape::Zstd => &["-c", "-o", "compression_type=zstd"],
            _ => &[],
        };
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "qcow2"]).args(options).arg(&raw).arg(to);
        run(&mut convert, &[])
    }
}

/// A disk of that size with clusters of that size, of which each is written that is named.
fn written(
    path: &Path,
    size: &str,
    cluster_size: &str,
    len: u64,
    places: impl Iterator<Item = u64>,
) -> Result<()> {
    let mut create = Command::new("qemu-img");
    let options = format!("cluster_size={cluster_size}");
    create.args(["create", "-q", "-f", "qcow2", "-o", &options]).arg(path).arg(size);
    run(&mut create, &[])?;
    let mut commands = Vec::new();
    for place in places {
        writeln!(commands, "write -q -P {} {place} {len}", 1 + place / len % 251)?;
    }
    let mut qemu_io = Command::new("qemu-io");
    let image = format!("driver=qcow2,l2-cache-size=64M,file.filename={}", path.display());
    qemu_io.args(["-t", "unsafe", "--image-opts", &image]);
    run(&mut qemu_io, &commands)
}

fn run(command: &mut Command, input: &[u8]) -> Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("{command:?} can't be started"))?;
    let mut stdin = child.stdin.take().context("it was asked for")?;
    stdin.write_all(input).context("it doesn't read")?;
    drop(stdin);
    let status = child.wait()?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

/// `count` different numbers below `below`, the same in every run.
fn some_of(below: u64, count: u64, seed: u64) -> BTreeSet<u64> {
    let mut numbers = Numbers::new(seed);
    let mut found = BTreeSet::new();
    while (found.len() as u64) < count {
        found.insert(numbers.next() % below);
    }
    found
}

fn shuffle(places: &mut [u64]) {
    let mut numbers = Numbers::new(3);
    for last in (1..places.len()).rev() {
        let other = usize::try_from(numbers.next() % (last as u64 + 1)).unwrap_or(last);
        places.swap(last, other);
    }
}

/// Half words, half records with counters, with a hole of three times as much after each 16 MiB.
fn payload(path: &Path, bytes: u64, size: u64) -> Result<()> {
    const PART: u64 = 16 << 20;
    const WORDS: [&str; 16] = [
        "still",
        "point",
        "turning",
        "world",
        "neither",
        "flesh",
        "fleshless",
        "from",
        "towards",
        "dance",
        "arrest",
        "movement",
        "ascent",
        "decline",
        "except",
        "light",
    ];
    let unfinished = path.with_extension("unfinished");
    let file = File::create(&unfinished)?;
    file.set_len(size)?;
    let mut numbers = Numbers::new(4);
    let mut at = 0;
    for part in 0..bytes / PART {
        let mut text = BufWriter::with_capacity(PART as usize + 128, Vec::with_capacity(PART as usize + 128));
        let mut written = 0;
        while written < PART {
            let number = numbers.next();
            let line = if part % 2 == 0 {
                format!("{} ", WORDS[usize::try_from(number >> 60).unwrap_or(0)])
            } else {
                format!("{:016x},{:08},{}\n", number, written, number % 1000)
            };
            written += line.len() as u64;
            text.write_all(line.as_bytes())?;
        }
        let text = text.into_inner().context("memory")?;
        let text = &text[..PART as usize];
        std::os::unix::fs::FileExt::write_all_at(&file, text, at)?;
        at += size / (bytes / PART);
    }
    ensure!(at <= size, "the parts fit");
    fs::rename(&unfinished, path)?;
    Ok(())
}

/// Numbers that are the same in every run (xorshift64*, from Vigna's paper).
struct Numbers(u64);

impl Numbers {
    const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
