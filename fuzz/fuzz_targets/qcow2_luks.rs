//! Keys of hostile LUKS headers: whatever slots, sizes and iterations they tell, trying a passphrase is refused or ends.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::Image;
use stillpoint_qcow2::luks::{Keyring, Passphrase};
use stillpoint_testkit::image::{ImageBuilder, LuksSpec};

#[derive(Debug, Arbitrary)]
struct Input {
    cipher: u8,
    mode: u8,
    hash: u8,
    key_bytes: u8,
    iterations: u32,
    digest_iterations: u32,
    slot: (u8, bool, u32, u32),
    payload: u32,
    passphrase: Vec<u8>,
    /// Put over the image: where (folded into its length), and what.
    patches: Vec<(u32, u64)>,
    cut: Option<u32>,
}

const CIPHERS: [&str; 5] = ["aes", "serpent", "twofish", "cast5", "none"];
const MODES: [&str; 8] = [
    "xts-plain64",
    "cbc-essiv:sha256",
    "cbc-plain",
    "ecb-plain",
    "ctr-plain64",
    "xts-essiv:md5",
    "cbc-essiv:sha512",
    "x-y",
];
const HASHES: [&str; 9] = ["sha256", "md5", "sha1", "sha224", "sha384", "sha512", "ripemd160", "sm3", "sha3"];
const KEYS: [u32; 7] = [16, 24, 32, 48, 64, 0, 65];

fn pick<T: Copy>(of: &[T], number: u8) -> T {
    of[usize::from(number) % of.len()]
}

fuzz_target!(|input: Input| {
    // Mostly so few that the slot is really tried.
    let most = if input.payload % 4 == 0 { u32::MAX } else { 16 };
    let mut spec = LuksSpec {
        cipher_name: pick(&CIPHERS, input.cipher).into(),
        cipher_mode: pick(&MODES, input.mode).into(),
        hash_spec: pick(&HASHES, input.hash).into(),
        key_bytes: pick(&KEYS, input.key_bytes),
        master_key_iterations: input.digest_iterations % most,
        ..LuksSpec::default()
    };
    let (number, active, offset, payload) = (input.slot.0 % 8, input.slot.1, input.slot.2, input.payload);
    let slot = &mut spec.slots[usize::from(number)];
    if active {
        slot.active = 0x00ac_71f3;
    }
    slot.iterations = input.iterations % most;
    if input.slot.3 % 4 == 0 {
        slot.key_offset = offset;
    }
    if input.slot.3 % 16 == 1 {
        spec.payload_offset = payload % 16384;
    }
    let mut bytes = ImageBuilder::v3().cluster_bits(12).size(1 << 16).luks(spec).build();
    for (at, value) in input.patches.iter().take(8) {
        let at = *at as usize % (bytes.len() - 8);
        bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }
    if let Some(length) = input.cut {
        bytes.truncate(length as usize);
    }
    let Ok(image) = Image::open(&bytes) else { return };
    // So few that an input takes no time; the limit itself is what bounds a real one.
    let keys = Keyring::new([Passphrase::new(input.passphrase)]).max_rounds(64);
    assert!(keys.open(&image).is_err() || image.luks().is_some());
});
