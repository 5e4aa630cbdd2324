//! What can be wrong with a LUKS header.

use std::fmt;

use crate::Name;

/// A text field of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LuksField {
    /// The cipher's name.
    CipherName,
    /// The cipher's mode.
    CipherMode,
    /// The hash.
    HashSpec,
}

impl fmt::Display for LuksField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CipherName => "cipher name",
            Self::CipherMode => "cipher mode",
            Self::HashSpec => "hash spec",
        })
    }
}

/// A LUKS header that isn't believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LuksError {
    /// The image says that its LUKS header is shorter than LUKS 1's is.
    #[error("the LUKS header is told to have {0} bytes, but one of version 1 has 592")]
    Length(u64),
    /// The first six bytes are others.
    #[error("where the image points to, there is no LUKS header")]
    Magic,
    /// Another version than 1.
    #[error("LUKS version {0} is not known: in qcow2 images only 1 is")]
    Version(u16),
    /// A text without a NUL at its end.
    #[error("the {0} of the LUKS header has no end")]
    Unterminated(LuksField),
    /// The payload begins inside the header.
    #[error("the payload of the LUKS header begins at sector {0}, inside of the header's own 8")]
    PayloadInHeader(u32),
    /// The master key's digest has no iterations.
    #[error("the master key's digest of the LUKS header has no iterations")]
    NoIterations,
    /// Another number of stripes than 4000.
    #[error("key slot {slot} of the LUKS header has {stripes} stripes, not 4000")]
    Stripes {
        /// Number of the slot, from 0.
        slot: usize,
        /// The stripes told.
        stripes: u32,
    },
    /// Neither active nor disabled.
    #[error("key slot {slot} of the LUKS header is neither active nor disabled: {state:#x}")]
    SlotState {
        /// Number of the slot, from 0.
        slot: usize,
        /// The state told.
        state: u32,
    },
    /// An active slot without iterations.
    #[error("key slot {0} of the LUKS header is active, but has no iterations")]
    SlotIterations(usize),
    /// Key material inside the header.
    #[error("the key material of slot {0} lies inside of the LUKS header")]
    SlotInHeader(usize),
    /// Key material inside the payload.
    #[error("the key material of slot {0} lies inside of the encrypted payload")]
    SlotInPayload(usize),
    /// Two slots on the same place.
    #[error("the key material of slots {0} and {1} overlaps")]
    SlotsOverlap(usize, usize),
    /// Not a mode, a hyphen and an IV generator.
    #[error("the cipher mode {0:?} of the LUKS header is not a mode, a hyphen and an IV generator")]
    ModeFormat(Name),
    /// A cipher, or a length of its key, that is not known.
    #[error("the cipher {cipher:?} of the LUKS header with a key of {key_len} bytes is not known")]
    Cipher {
        /// The cipher's name.
        cipher: Name,
        /// The length of its key in bytes.
        key_len: u32,
    },
    /// A mode that is not known.
    #[error("the cipher mode {0:?} of the LUKS header is not known")]
    Mode(Name),
    /// A hash that is not known.
    #[error("the hash {0:?} of the LUKS header is not known")]
    Hash(Name),
    /// An IV generator that is not known.
    #[error("the IV generator {0:?} of the LUKS header is not known")]
    IvGenerator(Name),
    /// With `essiv` the hash's digest is a key of the cipher: it must be as long as one.
    #[error(
        "the IV generator essiv of the LUKS header makes keys of {digest_len} bytes, but {cipher} has none such"
    )]
    EssivHash {
        /// The cipher, by QEMU's name.
        cipher: &'static str,
        /// The length of the digest in bytes.
        digest_len: u32,
    },
    /// `essiv` without its hash.
    #[error("the IV generator essiv of the LUKS header has no hash")]
    NoIvHash,
}

impl LuksError {
    /// What qemu-img 10 says after `Could not open 'NAME': `.
    #[must_use]
    pub fn qemu_text(&self) -> String {
        match self {
            Self::Length(_) => "Request for data outside of extension header".into(),
            Self::Magic => "Volume is not in LUKS format".into(),
            Self::Version(version) => format!("LUKS version {version} is not supported"),
            Self::Unterminated(field) => format!("LUKS header {field} is not NUL terminated"),
            Self::PayloadInHeader(_) => "LUKS payload is overlapping with the header".into(),
            Self::NoIterations => "LUKS key iteration count is zero".into(),
            Self::Stripes { slot, stripes } => {
                format!("Keyslot {slot} is corrupted (stripes {stripes} != 4000)")
            }
            Self::SlotState { slot, .. } => format!("Keyslot {slot} state (active/disable) is corrupted"),
            Self::SlotIterations(slot) => format!("Keyslot {slot} iteration count is zero"),
            Self::SlotInHeader(slot) => format!("Keyslot {slot} is overlapping with the LUKS header"),
            Self::SlotInPayload(slot) => format!("Keyslot {slot} is overlapping with the encrypted payload"),
            Self::SlotsOverlap(a, b) => format!("Keyslots {a} and {b} are overlapping in the header"),
            Self::ModeFormat(mode) => format!("Unexpected cipher mode string format '{mode}'"),
            Self::Cipher { cipher, key_len } => {
                format!("Algorithm '{cipher}' with key size {key_len} bytes not supported")
            }
            Self::Mode(mode) => format!("Cipher mode '{mode}' not supported"),
            Self::Hash(hash) => format!("Hash algorithm '{hash}' not supported"),
            Self::IvGenerator(name) => format!("IV generator '{name}' not supported"),
            Self::EssivHash { cipher, digest_len } => {
                let family = match cipher.split_once('-') {
                    Some(("aes", _)) => "AES",
                    Some(("serpent", _)) => "Serpent",
                    Some(("twofish", _)) => "Twofish",
                    _ => return format!("Cipher {cipher} not supported with essiv"),
                };
                format!("No {family} cipher with key size {digest_len} available")
            }
            Self::NoIvHash => "Missing IV generator hash specification".into(),
        }
    }
}
