//! A matrix of images with features crossed, made by qemu-img and qemu-io.
//!
//! What is to agree with QEMU is held against it over all of these. They are made once, in a directory that is
//! kept, since making them takes longer than most tests over them; who changes a recipe gets new ones.

mod cross;
mod features;
mod number;
mod recipe;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub use features::{Backing, Compat, DataFile, Encryption, Features, Preallocation};
pub use recipe::{PASSPHRASE, Step};

use super::oracle::available;

/// One image of the matrix.
#[derive(Debug, Clone)]
pub struct MatrixImage {
    /// Name of the file in the matrix's directory; tells the features.
    pub name: String,
    /// What it was made with.
    pub features: Features,
    /// Names of its internal snapshots, oldest first.
    pub snapshots: Vec<String>,
    /// Names of its bitmaps.
    pub bitmaps: Vec<String>,
    /// How it was made.
    pub steps: Vec<Step>,
}

impl MatrixImage {
    /// Arguments by which QEMU's programs open the image: format and name, or what an encrypted one needs.
    #[must_use]
    pub fn open_arguments(&self) -> Vec<String> {
        recipe::open_arguments(&self.name, self.features.encryption)
    }

    /// The recipe as shell commands.
    #[must_use]
    pub fn script(&self) -> String {
        self.steps.iter().map(|step| format!("{step}\n")).collect()
    }
}

/// All images, in one directory. They are only read: who wants to change one changes a copy.
#[derive(Debug)]
pub struct Matrix {
    directory: PathBuf,
    images: Vec<MatrixImage>,
    /// Locked for as long as the images are used, so that nobody makes others meanwhile.
    _lock: File,
}

impl Matrix {
    /// The matrix in a directory of its own below `parent`, made now if it isn't there: in tests
    /// `env!("CARGO_TARGET_TMPDIR")`. `None`, visibly, where qemu-img or qemu-io isn't installed.
    ///
    /// # Panics
    /// When an image can't be made, or a program is missing and [`REQUIRE`](super::oracle::REQUIRE) says that it
    /// must be there.
    #[must_use]
    pub fn shared(parent: &str) -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Matrix>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                let programs = available("qemu-img") && available("qemu-io");
                programs.then(|| Self::open(&Path::new(parent).join("image-matrix")).expect("it can be made"))
            })
            .as_ref()
    }

    fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.with_extension("recipes"))?;
        let images = cross::images();
        let recipes = recipes(&images)?;
        loop {
            lock.lock_shared()?;
            if text(&mut lock)? == recipes {
                return Ok(Self { directory: directory.to_owned(), images, _lock: lock });
            }
            lock.unlock()?;
            lock.lock()?;
            if text(&mut lock)? != recipes {
                lock.set_len(0)?;
                fs::remove_dir_all(directory)?;
                fs::create_dir_all(directory)?;
                make(directory, &images);
                // What a file has allocated must not change any more: QEMU looks at it, and so do we.
                rustix::fs::syncfs(File::open(directory)?)?;
                lock.seek(SeekFrom::Start(0))?;
                lock.write_all(recipes.as_bytes())?;
            }
            lock.unlock()?;
        }
    }

    /// Where the images are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> &[MatrixImage] {
        &self.images
    }

    /// Where one image is.
    #[must_use]
    pub fn path(&self, image: &MatrixImage) -> PathBuf {
        self.directory.join(&image.name)
    }
}

/// All recipes, and the version of the program that follows them.
fn recipes(images: &[MatrixImage]) -> io::Result<String> {
    let version = Command::new("qemu-img").arg("--version").stdin(Stdio::null()).output()?;
    let mut recipes = String::from_utf8_lossy(&version.stdout).into_owned();
    recipes.extend(images.iter().map(MatrixImage::script));
    Ok(recipes)
}

fn text(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Makes the images, on as many threads as there are processors.
fn make(directory: &Path, images: &[MatrixImage]) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for image in images.iter().skip(first).step_by(threads) {
                    for step in &image.steps {
                        step.run(directory);
                    }
                }
            });
        }
    });
}
