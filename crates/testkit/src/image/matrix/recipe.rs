//! How an image is made.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::MatrixImage;
use super::features::{Backing, Compat, DataFile, Encryption, Features, Preallocation};
use super::number::Numbers;

/// What opens encrypted images.
pub const PASSPHRASE: &str = "still";

/// One call of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `qemu-img` or `qemu-io`.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Step {
    fn new<S: Into<String>>(program: &'static str, arguments: impl IntoIterator<Item = S>) -> Self {
        Self { program, arguments: arguments.into_iter().map(Into::into).collect() }
    }

    /// Takes the step.
    pub(super) fn run(&self, directory: &Path) {
        let output = Command::new(self.program)
            .args(&self.arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .output()
            .expect("the program was found and can be run");
        // qemu-io tells a request that failed on stdout, and succeeds all the same.
        let said = String::from_utf8_lossy(&output.stdout);
        let well = output.status.success() && output.stderr.is_empty() && !said.contains("failed");
        assert!(well, "{self}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " '{argument}'"))
    }
}

/// Arguments by which QEMU's programs open an image.
pub(super) fn open_arguments(name: &str, encryption: Encryption) -> Vec<String> {
    match encryption {
        Encryption::None => vec!["-f".into(), "qcow2".into(), name.into()],
        _ => vec![
            "--object".into(),
            format!("secret,id=key,data={PASSPHRASE}"),
            "--image-opts".into(),
            format!("driver=qcow2,file.filename={name},encrypt.key-secret=key"),
        ],
    }
}

/// The image of these features.
pub(super) fn image(features: Features, number: u64) -> MatrixImage {
    let name = features.name(number);
    let mut recipe = Recipe { numbers: Numbers::new(number + 1000), name, features, steps: Vec::new() };
    recipe.write_steps();
    let names = |kind: &str, count: u32| (1..=count).map(|number| format!("{kind} {number}")).collect();
    MatrixImage {
        name: recipe.name,
        snapshots: names("snapshot", recipe.features.snapshots),
        bitmaps: names("bitmap", recipe.features.bitmaps),
        features: recipe.features,
        steps: recipe.steps,
    }
}

struct Recipe {
    numbers: Numbers,
    name: String,
    features: Features,
    steps: Vec<Step>,
}

impl Recipe {
    fn write_steps(&mut self) {
        let backing = self.backing();
        self.create(backing.as_deref());
        if self.features.compressed {
            self.compress();
        }
        for number in 1..=self.features.bitmaps {
            let granularity = self.numbers.one_of(&["512", "4k", "64k", "1M"]);
            let mut arguments = vec!["--add", "-g", granularity];
            if number == 3 {
                arguments.push("--disable");
            }
            self.on_image("bitmap", &arguments, &[&format!("bitmap {number}")]);
            self.change(self.features.size);
        }
        self.change(self.features.size);
        for number in 1..=self.features.snapshots {
            self.on_image("snapshot", &["-c", &format!("snapshot {number}")], &[]);
            self.change(self.features.size);
        }
        if let Some(size) = self.features.resized {
            self.on_image("resize", &["-q"], &[&size.to_string()]);
            self.change(size);
        }
    }

    /// Makes what the image stands on, and gives the value of `-o` that names it.
    fn backing(&mut self) -> Option<String> {
        let size = self.features.backing_size;
        let stem = self.name.trim_end_matches(".qcow2").to_owned();
        let (raw, base) = (format!("{stem}.base.raw"), format!("{stem}.base.qcow2"));
        match self.features.backing {
            Backing::None => return None,
            Backing::Raw => self.raw_base(&raw, size),
            Backing::Qcow2 => {
                let options = self.numbers.one_of(&["cluster_size=4k", "cluster_size=64k,extended_l2=on"]);
                self.qcow2_base(&base, options, size);
            }
            Backing::Chain => {
                self.raw_base(&raw, size / 2 / 512 * 512);
                let options = format!("cluster_size=8k,backing_file={raw},backing_fmt=raw");
                self.qcow2_base(&base, &options, size);
            }
        }
        Some(match self.features.backing {
            Backing::Raw => format!("backing_file={raw},backing_fmt=raw"),
            _ => format!("backing_file={base},backing_fmt=qcow2"),
        })
    }

    fn raw_base(&mut self, name: &str, size: u64) {
        self.steps.push(Step::new("qemu-img", ["create", "-q", "-f", "raw", name, &size.to_string()]));
        let commands = self.writes(size, 6, 512);
        self.steps.push(qemu_io(&["-f".into(), "raw".into(), name.into()], &commands));
    }

    fn qcow2_base(&mut self, name: &str, options: &str, size: u64) {
        let create = ["create", "-q", "-f", "qcow2", "-o", options, name, &size.to_string()];
        self.steps.push(Step::new("qemu-img", create));
        let commands = self.writes(size, 6, 512);
        self.steps.push(qemu_io(&open_arguments(name, Encryption::None), &commands));
    }

    fn create(&mut self, backing: Option<&str>) {
        let f = &self.features;
        let mut options = vec![format!("cluster_size={}", 1_u64 << f.cluster_bits)];
        let mut option = |when: bool, what: &str| {
            if when {
                options.push(what.to_owned());
            }
        };
        option(f.compat == Compat::V2, "compat=0.10");
        option(f.refcount_bits != 16, &format!("refcount_bits={}", f.refcount_bits));
        option(f.extended_l2, "extended_l2=on");
        option(f.lazy_refcounts, "lazy_refcounts=on");
        option(f.zstd, "compression_type=zstd");
        option(f.data_file != DataFile::None, &format!("data_file={}.data", self.name));
        option(f.data_file == DataFile::Raw, "data_file_raw=on");
        let preallocation = f.preallocation;
        option(preallocation != Preallocation::Off, &format!("preallocation={}", preallocation.name()));
        option(f.encryption == Encryption::Aes, "encrypt.format=aes,encrypt.key-secret=key");
        let luks = matches!(f.encryption, Encryption::Luks | Encryption::LuksEssiv);
        option(luks, "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10");
        let essiv = "encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256";
        option(f.encryption == Encryption::LuksEssiv, &format!("{essiv},encrypt.hash-alg=sha1"));
        option(backing.is_some(), backing.unwrap_or_default());

        let mut arguments = vec!["create".to_owned(), "-q".into(), "-f".into(), "qcow2".into()];
        if f.encryption != Encryption::None {
            arguments.extend(["--object".into(), format!("secret,id=key,data={PASSPHRASE}")]);
        }
        arguments.extend(["-o".into(), options.join(","), self.name.clone(), f.size.to_string()]);
        self.steps.push(Step { program: "qemu-img", arguments });
    }

    /// A command of qemu-img's on the image: `options` come before its name, `operands` after it.
    fn on_image(&mut self, command: &str, options: &[&str], operands: &[&str]) {
        let mut arguments = vec![command];
        arguments.extend(options);
        let open = open_arguments(&self.name, self.features.encryption);
        // `snapshot` takes no format.
        let skipped =
            if command == "snapshot" && self.features.encryption == Encryption::None { 2 } else { 0 };
        arguments.extend(open.iter().skip(skipped).map(String::as_str));
        arguments.extend(operands);
        self.steps.push(Step::new("qemu-img", arguments));
    }

    /// Has qemu-io write, zero and discard here and there over `size` bytes.
    fn change(&mut self, size: u64) {
        let count = 6 + self.numbers.below(6);
        let commands = self.writes(size, count, 512);
        self.steps.push(qemu_io(&open_arguments(&self.name, self.features.encryption), &commands));
    }

    /// Has qemu-io write compressed clusters. QEMU does so only where nothing is allocated yet.
    fn compress(&mut self) {
        let cluster = 1 << self.features.cluster_bits;
        let third = self.features.size / cluster / 3;
        let mut commands = Vec::new();
        for part in 0..3 {
            let len = 1 + self.numbers.below(third.min(1 + (96 << 10) / cluster));
            let first = part * third + self.numbers.below(third - len + 1);
            let pattern = 1 + self.numbers.below(255);
            commands.push(format!("write -c -P {pattern} {} {}", first * cluster, len * cluster));
        }
        self.steps.push(qemu_io(&open_arguments(&self.name, self.features.encryption), &commands));
    }

    fn writes(&mut self, size: u64, count: u64, unit: u64) -> Vec<String> {
        let numbers = &mut self.numbers;
        let most = (size / unit / 4).max(1);
        (0..count)
            .map(|number| {
                let len = (1 + numbers.below(most.min(if number % 3 == 0 { 400 } else { 30 }))) * unit;
                let offset = numbers.below((size - len) / unit + 1) * unit;
                match numbers.below(8) {
                    0 => format!("write -z {offset} {len}"),
                    1 => format!("write -zu {offset} {len}"),
                    2 => format!("discard {offset} {len}"),
                    _ => format!("write -P {} {offset} {len}", 1 + numbers.below(255)),
                }
            })
            .collect()
    }
}

fn qemu_io(open: &[String], commands: &[String]) -> Step {
    let mut arguments: Vec<String> = ["-d", "unmap", "-t", "unsafe"].map(str::to_owned).into();
    arguments.extend(commands.iter().flat_map(|command| ["-c".to_owned(), command.clone()]));
    arguments.extend_from_slice(open);
    Step { program: "qemu-io", arguments }
}
