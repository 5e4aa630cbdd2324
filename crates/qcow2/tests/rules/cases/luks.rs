//! LUKS headers.

use stillpoint_testkit::image::{ImageBuilder, LuksSpec, extension, offset};

use super::Expect::{Opens, Refused, RefusedHere};
use super::{Cases, v3};

pub(super) fn add(cases: &mut Cases) {
    let with = |change: fn(&mut LuksSpec)| {
        let mut luks = LuksSpec::default();
        change(&mut luks);
        v3().luks(luks)
    };
    cases.add("LUKS", &with(|_| ()), Opens);
    for (len, text) in [(15, "15"), (24, "24")] {
        let image = v3().extension(extension::CRYPTO, &vec![0; len]).crypt_method(2);
        let expect = match text {
            "15" => "CRYPTO header extension size 15, but expected size 16",
            _ => "CRYPTO header extension size 24, but expected size 16",
        };
        cases.add(&format!("a pointer of {len} bytes"), &image, Refused(expect));
    }
    let unexpected = Refused("CRYPTO header extension only expected with LUKS encryption method");
    let methods = [(0, unexpected.clone()), (1, unexpected)];
    cases.u32s("LUKS and method", &with(|_| ()), offset::CRYPT_METHOD, &methods);
    let unaligned = "Encryption header offset '1048577' is not a multiple of cluster size '65536'";
    let offsets = [
        (0x10_0001, Refused(unaligned)),
        (0, Refused("Volume is not in LUKS format")),
        (1 << 40, RefusedHere),
    ];
    cases.u64s("LUKS offset", &with(|_| ()), 120, &offsets);
    let lengths = [(591, Refused("Request for data outside of extension header")), (592, Opens)];
    cases.u64s("LUKS length", &with(|_| ()), 128, &lengths);
    luks_header(cases, with);
    luks_slots(cases, with);
}

fn luks_header(cases: &mut Cases, with: fn(fn(&mut LuksSpec)) -> ImageBuilder) {
    let mut add = |name: &str, change: fn(&mut LuksSpec), expect| cases.add(name, &with(change), expect);
    add("LUKS 2", |l| l.version = 2, Refused("LUKS version 2 is not supported"));
    let name = "LUKS header cipher name is not NUL terminated";
    add("a cipher without end", |l| l.cipher_name = vec![b'x'; 32], Refused(name));
    let mode = "LUKS header cipher mode is not NUL terminated";
    add("a mode without end", |l| l.cipher_mode = vec![b'x'; 32], Refused(mode));
    let hash = "LUKS header hash spec is not NUL terminated";
    add("a hash without end", |l| l.hash_spec = vec![b'x'; 32], Refused(hash));
    let junk = "Algorithm 'junk' with key size 32 bytes not supported";
    add("an unknown cipher", |l| l.cipher_name = b"junk".to_vec(), Refused(junk));
    let short = "Algorithm 'aes' with key size 8 bytes not supported";
    add("a short key", |l| l.key_bytes = 16, Refused(short));
    let format = "Unexpected cipher mode string format 'junk'";
    add("a mode of one word", |l| l.cipher_mode = b"junk".to_vec(), Refused(format));
    let gcm = "Cipher mode 'gcm' not supported";
    add("an unknown mode", |l| l.cipher_mode = b"gcm-plain64".to_vec(), Refused(gcm));
    let benbi = "IV generator 'benbi' not supported";
    add("an unknown IV generator", |l| l.cipher_mode = b"xts-benbi".to_vec(), Refused(benbi));
    let essiv = "Missing IV generator hash specification";
    add("essiv without hash", |l| l.cipher_mode = b"xts-essiv".to_vec(), Refused(essiv));
    let digest = "No AES cipher with key size 64 available";
    add("essiv with a hash too long", |l| l.cipher_mode = b"xts-essiv:sha512".to_vec(), Refused(digest));
    let whirlpool = "Hash algorithm 'whirlpool' not supported";
    add("an unknown hash", |l| l.hash_spec = b"whirlpool".to_vec(), Refused(whirlpool));
    let iterations = "LUKS key iteration count is zero";
    add("a digest without iterations", |l| l.master_key_iterations = 0, Refused(iterations));
    add("a UUID without end", |l| l.uuid = vec![b'u'; 40], Opens);
    let payload = "LUKS payload is overlapping with the header";
    add("a payload in the header", |l| l.payload_offset = 7, Refused(payload));
    let last = "Keyslot 7 is overlapping with the encrypted payload";
    add("a payload that begins a sector early", |l| l.payload_offset -= 1, Refused(last));
}

fn luks_slots(cases: &mut Cases, with: fn(fn(&mut LuksSpec)) -> ImageBuilder) {
    let mut add = |name: &str, change: fn(&mut LuksSpec), expect| cases.add(name, &with(change), expect);
    let state = "Keyslot 1 state (active/disable) is corrupted";
    add("a slot of no state", |l| l.slots[1].active = 0, Refused(state));
    let iterations = "Keyslot 1 iteration count is zero";
    add("an active slot without iterations", |l| l.slots[1].active = 0x00AC_71F3, Refused(iterations));
    let stripes = "Keyslot 0 is corrupted (stripes 3999 != 4000)";
    add("3999 stripes", |l| l.slots[0].stripes = 3999, Refused(stripes));
    let header = "Keyslot 0 is overlapping with the LUKS header";
    add("a slot in the header", |l| l.slots[0].key_offset = 7, Refused(header));
    let overlap = "Keyslots 0 and 1 are overlapping in the header";
    add("two slots that overlap by a sector", |l| l.slots[1].key_offset -= 1, Refused(overlap));
    let payload = "Keyslot 1 is overlapping with the encrypted payload";
    add("a slot in the payload", |l| l.slots[1].key_offset = 4032, Refused(payload));
    add("a slot past all numbers", |l| l.slots[1].key_offset = u32::MAX, RefusedHere);
}
