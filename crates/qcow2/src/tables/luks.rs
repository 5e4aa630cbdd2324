//! The LUKS header of an encrypted image ("LUKS On-Disk Format Specification", 1.2.2; in qcow2: section "Full
//! disk encryption header pointer").

use stillpoint_storage::Storage;

use super::read::read_exact;
use crate::raw::{
    LUKS_SECTOR, LUKS_SLOT_ACTIVE, LUKS1_HEADER_LEN, RawCryptoExtension, RawLuksHeader, RawLuksSlot,
    until_nul,
};
use crate::{Error, Name};

mod error;

pub use error::{LuksError, LuksField};

/// The value of `active` in a slot without a key.
const SLOT_DISABLED: u32 = 0x0000_dead;
/// Anti-forensic stripes, the same in every header there is.
const STRIPES: u32 = 4000;
/// Sectors of the header itself, before any key material.
const HEADER_SECTORS: u64 = 8;
/// Key material is aligned to this many sectors.
const KEY_ALIGNMENT: u64 = 8;
/// Hashes that QEMU knows for LUKS, and the length of their digests in bytes.
const HASHES: [(&str, u32); 8] = [
    ("md5", 16),
    ("sha1", 20),
    ("sha224", 28),
    ("sha256", 32),
    ("sha384", 48),
    ("sha512", 64),
    ("ripemd160", 20),
    ("sm3", 32),
];
/// Ciphers by LUKS's name, the length of the key in bytes, and QEMU's name.
const CIPHERS: [(&str, u32, &str); 10] = [
    ("aes", 16, "aes-128"),
    ("aes", 24, "aes-192"),
    ("aes", 32, "aes-256"),
    ("cast5", 16, "cast5-128"),
    ("serpent", 16, "serpent-128"),
    ("serpent", 24, "serpent-192"),
    ("serpent", 32, "serpent-256"),
    ("twofish", 16, "twofish-128"),
    ("twofish", 24, "twofish-192"),
    ("twofish", 32, "twofish-256"),
];
const MODES: [&str; 4] = ["ecb", "cbc", "xts", "ctr"];
const IV_GENERATORS: [&str; 3] = ["plain", "plain64", "essiv"];

/// What the LUKS header of an image says. No key is in it, and none is needed to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LuksHeader {
    /// Cipher with the length of its key in bits, as QEMU names it: `aes-256`.
    pub cipher: &'static str,
    /// Mode of the cipher: `xts`, `cbc`, `ecb` or `ctr`.
    pub mode: &'static str,
    /// How the initialisation vector of a sector is made: `plain`, `plain64` or `essiv`.
    pub ivgen: &'static str,
    /// Hash of the vector's making, with `essiv` only.
    pub ivgen_hash: Option<&'static str>,
    /// Hash of the key's derivation.
    pub hash: &'static str,
    /// UUID as stored, commonly in the usual text form.
    pub uuid: Name,
    /// Where encrypted data would begin in a LUKS volume, in bytes from this header. A qcow2 image has its data
    /// in its clusters instead.
    pub payload_offset: u64,
    /// Iterations of the master key's digest.
    pub master_key_iterations: u32,
    /// The eight key slots.
    pub slots: [LuksSlot; 8],
    raw: Box<RawLuksHeader>,
}

/// A key slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LuksSlot {
    /// Whether it holds a key.
    pub active: bool,
    /// Iterations of the passphrase's derivation.
    pub iterations: u32,
    /// Where the key material begins, in bytes from the LUKS header.
    pub key_offset: u64,
    /// Anti-forensic stripes of the key material.
    pub stripes: u32,
}

/// Reads the header that an image points to.
pub(crate) fn read_luks<S: Storage + ?Sized>(
    storage: &S,
    place: &RawCryptoExtension,
) -> Result<LuksHeader, Error> {
    if place.length < LUKS1_HEADER_LEN as u64 {
        return Err(LuksError::Length(place.length).into());
    }
    let mut bytes = [0; LUKS1_HEADER_LEN];
    read_exact(storage, place.offset, &mut bytes, "the LUKS header")?;
    Ok(LuksHeader::from_bytes(&bytes)?)
}

impl LuksHeader {
    /// Judges the 592 bytes of a header.
    ///
    /// # Errors
    /// When they break a rule, or name a cipher, mode or hash that QEMU does not know.
    pub fn from_bytes(bytes: &[u8; LUKS1_HEADER_LEN]) -> Result<Self, LuksError> {
        let (_, version) = RawLuksHeader::parse_version(bytes).map_err(|_| LuksError::Magic)?;
        if version != 1 {
            return Err(LuksError::Version(version));
        }
        let (_, raw) = RawLuksHeader::parse(bytes).map_err(|_| LuksError::Magic)?;
        let cipher_name = text(&raw.cipher_name, LuksField::CipherName)?;
        let cipher_mode = text(&raw.cipher_mode, LuksField::CipherMode)?;
        let hash_spec = text(&raw.hash_spec, LuksField::HashSpec)?;
        check_places(&raw)?;
        let words = ModeWords::split(cipher_mode)?;
        let ivgen_hash = words.ivgen_hash.map(known_hash).transpose()?;
        let mode = known(MODES, words.mode).ok_or_else(|| LuksError::Mode(Name::new(words.mode)))?;
        // XTS takes two keys of half the length.
        let key_len = if mode == "xts" { raw.key_bytes / 2 } else { raw.key_bytes };
        let has_key = |len: u32| {
            move |(luks, key, _): &&(&str, u32, &str)| luks.as_bytes() == cipher_name && *key == len
        };
        let (_, _, cipher) = CIPHERS
            .iter()
            .find(has_key(key_len))
            .ok_or_else(|| LuksError::Cipher { cipher: Name::new(cipher_name), key_len })?;
        let (hash, _) = known_hash(hash_spec)?;
        let ivgen = known(IV_GENERATORS, words.ivgen)
            .ok_or_else(|| LuksError::IvGenerator(Name::new(words.ivgen)))?;
        let ivgen_hash = match (ivgen, ivgen_hash) {
            ("essiv", None) => return Err(LuksError::NoIvHash),
            ("essiv", Some((_, digest_len))) if !CIPHERS.iter().any(|known| has_key(digest_len)(&known)) => {
                return Err(LuksError::EssivHash { cipher, digest_len });
            }
            ("essiv", Some((name, _))) => Some(name),
            // Others have no use for a hash.
            _ => None,
        };
        Ok(Self {
            cipher,
            mode,
            ivgen,
            ivgen_hash,
            hash,
            uuid: Name::from_c(&raw.uuid),
            payload_offset: u64::from(raw.payload_offset) * LUKS_SECTOR,
            master_key_iterations: raw.mk_digest_iter,
            slots: raw.slots.map(|slot| LuksSlot {
                active: slot.active == LUKS_SLOT_ACTIVE,
                iterations: slot.iterations,
                key_offset: u64::from(slot.key_material_offset) * LUKS_SECTOR,
                stripes: slot.stripes,
            }),
            raw: Box::new(raw),
        })
    }

    /// The header as stored: salts, and the master key's digest.
    #[must_use]
    pub const fn raw(&self) -> &RawLuksHeader {
        &self.raw
    }
}

fn text(field: &[u8], which: LuksField) -> Result<&[u8], LuksError> {
    let text = until_nul(field);
    if text.len() == field.len() { Err(LuksError::Unterminated(which)) } else { Ok(text) }
}

fn check_places(raw: &RawLuksHeader) -> Result<(), LuksError> {
    let payload = u64::from(raw.payload_offset);
    if payload < HEADER_SECTORS {
        return Err(LuksError::PayloadInHeader(raw.payload_offset));
    }
    if raw.mk_digest_iter == 0 {
        return Err(LuksError::NoIterations);
    }
    // 32 bits of bytes times 4000: far from overflowing.
    let sectors = (u64::from(raw.key_bytes) * u64::from(STRIPES)).div_ceil(LUKS_SECTOR);
    let sectors = sectors.next_multiple_of(KEY_ALIGNMENT);
    let place = |slot: &RawLuksSlot| {
        let start = u64::from(slot.key_material_offset);
        start..start + sectors
    };
    for (i, slot) in raw.slots.iter().enumerate() {
        let own = place(slot);
        if slot.stripes != STRIPES {
            return Err(LuksError::Stripes { slot: i, stripes: slot.stripes });
        }
        if own.start < HEADER_SECTORS {
            return Err(LuksError::SlotInHeader(i));
        }
        if slot.active != LUKS_SLOT_ACTIVE && slot.active != SLOT_DISABLED {
            return Err(LuksError::SlotState { slot: i, state: slot.active });
        }
        if slot.active == LUKS_SLOT_ACTIVE && slot.iterations == 0 {
            return Err(LuksError::SlotIterations(i));
        }
        if own.end > payload {
            return Err(LuksError::SlotInPayload(i));
        }
        for (j, other) in raw.slots.iter().enumerate().skip(i + 1) {
            let other = place(other);
            if own.start < other.end && other.start < own.end {
                return Err(LuksError::SlotsOverlap(i, j));
            }
        }
    }
    Ok(())
}

/// The words of a cipher mode such as `xts-plain64` or `cbc-essiv:sha256`.
struct ModeWords<'a> {
    mode: &'a [u8],
    ivgen: &'a [u8],
    ivgen_hash: Option<&'a [u8]>,
}

impl<'a> ModeWords<'a> {
    fn split(text: &'a [u8]) -> Result<Self, LuksError> {
        let (mode, ivgen) = split_once(text, b'-').ok_or_else(|| LuksError::ModeFormat(Name::new(text)))?;
        Ok(match split_once(ivgen, b':') {
            Some((ivgen, hash)) => Self { mode, ivgen, ivgen_hash: Some(hash) },
            None => Self { mode, ivgen, ivgen_hash: None },
        })
    }
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let mut parts = text.splitn(2, |&b| b == at);
    Some((parts.next()?, parts.next()?))
}

fn known<const N: usize>(names: [&'static str; N], text: &[u8]) -> Option<&'static str> {
    names.into_iter().find(|name| name.as_bytes() == text)
}

/// A hash's name, and the length of its digest in bytes.
fn known_hash(text: &[u8]) -> Result<(&'static str, u32), LuksError> {
    let known = HASHES.into_iter().find(|(name, _)| name.as_bytes() == text);
    known.ok_or_else(|| LuksError::Hash(Name::new(text)))
}
