//! Encrypted guest data against qemu-img's: images of every cipher, mode, IV generator and hash that qemu-img makes
//! read, with their passphrase, as `qemu-img convert -O raw` has them; without it they are refused by name.
//!
//! Where these programs aren't installed the tests say so and pass; `STILLPOINT_REQUIRE_ORACLES=1` makes them fail.
#![cfg(feature = "luks")]

use std::fs;
use std::path::{Path, PathBuf};

use stillpoint_qcow2::luks::{KeyError, Keyring, Passphrase};
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Disk, DiskOptions, Error, Source};
use stillpoint_storage::Storage;
use stillpoint_testkit::image::oracle::{QemuImg, available};

const SECRET: &str = "secret,id=key,data=still";

struct Bench {
    _directory: tempfile::TempDir,
    qemu_img: QemuImg,
}

impl Bench {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let qemu_img = QemuImg::find(directory.path())?;
        available("qemu-io").then(|| Self { _directory: directory, qemu_img })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.qemu_img.directory().join(name)
    }

    fn create(&self, name: &str, options: &str, size: &str) {
        let options = format!("encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=1{options}");
        self.qemu_img.create(name, &options, size);
    }

    /// Has qemu-io run commands on an encrypted image.
    fn io(&self, name: &str, commands: &[&str]) {
        let opts = opts(name);
        self.qemu_img.io(&["--object", SECRET, "--image-opts", &opts], commands);
    }

    /// Writes here and there, and compares with what qemu-img reads.
    fn write_and_compare(&self, name: &str) {
        self.io(
            name,
            &["write -P 7 0 200k", "write -P 9 333k 1k", "write -z 64k 64k", "write -P 3 1023k 512"],
        );
        self.compare(name, None);
    }

    fn compare(&self, name: &str, snapshot: Option<&str>) {
        let mut arguments = vec!["convert", "-U", "-O", "raw", "--object", SECRET, "--image-opts"];
        arguments.extend(snapshot.iter().flat_map(|snapshot| ["-l", snapshot]));
        let (opts, raw) = (opts(name), format!("{name}.raw"));
        arguments.extend([&opts[..], &raw]);
        self.qemu_img.output(arguments);
        let expected = fs::read(self.path(&raw)).expect("it was made");
        assert!(expected.iter().any(|&byte| byte != 0), "{name}: there is something to compare");
        let disk = open(&self.path(name), snapshot, &still()).expect("the passphrase fits");
        let mut bytes = vec![0xee; expected.len()];
        disk.read_exact_at(0, &mut bytes).expect("it can be read");
        let different = bytes.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(different, None, "{name} {snapshot:?}: the first byte that differs");
        // Parts that are no whole sectors.
        for (at, len) in [(1, 1), (500, 30), (65535, 1025), (199 << 10, 2000)] {
            let mut part = vec![0xee; len];
            disk.read_exact_at(at, &mut part).expect("it can be read");
            let at = usize::try_from(at).expect("it is short");
            assert_eq!(part, expected[at..at + len], "{name} {at}+{len}");
        }
    }
}

fn opts(name: &str) -> String {
    format!("driver=qcow2,encrypt.key-secret=key,file.filename={name}")
}

fn still() -> Keyring {
    Keyring::new([Passphrase::new("still")])
}

fn open(path: &Path, snapshot: Option<&str>, keys: &Keyring) -> Result<Disk, Error> {
    let source = Source::open(path).expect("it can be opened");
    let chain = Chain::open(source, None, &AnyFile, &ChainOptions::default()).expect("it has an end");
    let image = chain.layers()[0].image().expect("it is an image");
    let snapshot = snapshot.map(|name| image.snapshot(name).expect("it is there"));
    Disk::open_with(&chain, snapshot, &AnyFile, &DiskOptions::default().keys(keys))
}

/// Ciphers, modes, IV generators and hashes, each at least once. They don't depend on each other, and making an
/// image takes qemu-img seconds, however few iterations it is to have.
const KINDS: [(&str, &str, &str, &str); 6] = [
    ("aes-128", "cbc", "essiv,encrypt.ivgen-hash-alg=sha256", "sha1"),
    ("aes-192", "xts", "essiv,encrypt.ivgen-hash-alg=md5", "md5"),
    ("aes-256", "ecb", "plain", "sha384"),
    ("serpent-192", "xts", "plain64", "sm3"),
    ("twofish-256", "ctr", "plain", "ripemd160"),
    ("cast5-128", "cbc", "plain64", "sha512"),
];

#[test]
fn every_cipher_mode_iv_generator_and_hash() {
    let Some(bench) = Bench::new() else { return };
    for (cipher, mode, ivgen, hash) in KINDS {
        let name = format!("{cipher}-{mode}.qcow2");
        let options = format!(
            ",encrypt.cipher-alg={cipher},encrypt.cipher-mode={mode},encrypt.ivgen-alg={ivgen},\
             encrypt.hash-alg={hash},cluster_size=4k"
        );
        bench.create(&name, &options, "1M");
        bench.write_and_compare(&name);
    }
}

#[test]
fn each_encrypted_layer_of_a_chain_is_opened_by_a_passphrase_that_fits() {
    let Some(bench) = Bench::new() else { return };
    bench.create("base.qcow2", "", "1M");
    bench.io("base.qcow2", &["write -P 1 0 1M"]);
    let other = "secret,id=other,data=other";
    bench.qemu_img.output([
        "create",
        "-q",
        "-f",
        "qcow2",
        "--object",
        SECRET,
        "--object",
        other,
        "-b",
        "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"base.qcow2\"},\
         \"encrypt.key-secret\":\"key\"}",
        "-F",
        "qcow2",
        "-o",
        "encrypt.format=luks,encrypt.key-secret=other,encrypt.iter-time=1",
        "top.qcow2",
        "1M",
    ]);
    // The name that an image would have without the passphrase's id in it.
    bench.qemu_img.output([
        "rebase",
        "-u",
        "--object",
        SECRET,
        "--object",
        other,
        "-b",
        "base.qcow2",
        "-F",
        "qcow2",
        "--image-opts",
        "driver=qcow2,encrypt.key-secret=other,file.filename=top.qcow2",
    ]);
    let path = bench.path("top.qcow2");
    let missing = open(&path, None, &Keyring::new([Passphrase::new("other")]));
    assert!(matches!(missing, Err(Error::Key(KeyError::NoSlotFits))), "{missing:?}");
    let both = Keyring::new([Passphrase::new("still"), Passphrase::new("other")]);
    let disk = open(&path, None, &both).expect("both are there");
    let mut bytes = vec![0; 1 << 20];
    disk.read_exact_at(0, &mut bytes).expect("it can be read");
    assert!(bytes.iter().all(|&byte| byte == 1));
}

#[test]
fn one_image_in_all_its_states() {
    let Some(bench) = Bench::new() else { return };
    let name = "disk.qcow2";
    bench.create(name, "", "1M");
    let path = bench.path(name);
    refuses_without_the_right_key(&bench, name);

    bench.io(name, &["write -P 1 0 300k"]);
    bench.qemu_img.output(["snapshot", "-c", "first", "--object", SECRET, "--image-opts", &opts(name)]);
    // Compressed clusters are as they are, even in here.
    bench.io(name, &["write -P 2 100k 150k", "write -c -P 4 512k 64k"]);
    bench.compare(name, None);
    bench.compare(name, Some("first"));

    // A second slot opens it as the first does.
    let second = "encrypt.state=active,encrypt.new-secret=second,encrypt.iter-time=1";
    let object = "secret,id=second,data=second";
    let amend = ["amend", "--object", SECRET, "--object", object, "--image-opts", &opts(name), "-o", second];
    bench.qemu_img.output(amend);
    for passphrase in ["still", "second"] {
        let disk = open(&path, None, &Keyring::new([Passphrase::new(passphrase)]));
        let mut sector = [0; 512];
        disk.expect("it fits").read_exact_at(0, &mut sector).expect("it can be read");
        assert_eq!(sector, [1; 512], "{passphrase}");
    }
}

fn refuses_without_the_right_key(bench: &Bench, name: &str) {
    let path = bench.path(name);
    let error = |keys: Keyring| open(&path, None, &keys).expect_err("there is no key");
    assert!(matches!(error(Keyring::new([])), Error::Encrypted(_)));
    let wrong = error(Keyring::new([Passphrase::new("still\n")]));
    assert!(matches!(wrong, Error::Key(KeyError::NoSlotFits)), "{wrong}");
    let theirs = ["convert", "-O", "raw", "--object", "secret,id=key,data=wrong", "--image-opts"];
    let theirs = bench.qemu_img.run(theirs.into_iter().chain([&opts(name)[..], "out.raw"]));
    let text = wrong.qemu_text().expect("QEMU says it");
    assert!(String::from_utf8_lossy(&theirs.stderr).trim_end().ends_with(&text), "{text}");
    let few = error(still().max_rounds(1000));
    assert!(matches!(few, Error::Key(KeyError::TooManyRounds { slot: 0, left: 1000, .. })), "{few}");
    // The old method is refused whatever is given.
    bench.qemu_img.create("aes.qcow2", "encrypt.format=aes,encrypt.key-secret=key", "1M");
    let old = open(&bench.path("aes.qcow2"), None, &still()).expect_err("it isn't read");
    assert!(old.to_string().contains("legacy"), "{old}");
}
