//! Why an encrypted image stays closed.

/// No key for an image that is encrypted with LUKS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// None of the passphrases opens a slot.
    #[error("none of the passphrases given opens a key slot of the LUKS header")]
    NoSlotFits,
    /// The header has no slot that holds a key.
    #[error("no key slot of the LUKS header is active: no passphrase can open it")]
    NoActiveSlot,
    /// More rounds of key derivation than are allowed.
    #[error(
        "key slot {slot} of the LUKS header asks for {rounds} rounds of key derivation, and {left} of those \
        that are allowed are left; allow more if the image is trusted"
    )]
    TooManyRounds {
        /// Number of the slot, from 0.
        slot: usize,
        /// The rounds of hashing that it takes.
        rounds: u64,
        /// What is left of the allowed ones.
        left: u64,
    },
    /// Key material past what the image tells to be the LUKS header.
    #[error("the key material of slot {slot} goes past the {length} bytes of the LUKS header")]
    KeyMaterial {
        /// Number of the slot, from 0.
        slot: usize,
        /// The length that the image tells, in bytes.
        length: u64,
    },
    /// A combination that means nothing, such as XTS over blocks of 64 bits.
    #[error("{cipher} can't be used in the mode {mode} with the IV generator {ivgen}")]
    Combination {
        /// The cipher, by QEMU's name.
        cipher: &'static str,
        /// Its mode.
        mode: &'static str,
        /// The generator of initialisation vectors.
        ivgen: &'static str,
    },
}

impl KeyError {
    /// What qemu-img 10 says after `Could not open 'NAME': `; `None` for a limit that is ours.
    #[must_use]
    pub fn qemu_text(&self) -> Option<String> {
        Some(match self {
            Self::NoSlotFits | Self::NoActiveSlot => "Invalid password, cannot unlock any keyslot".into(),
            Self::KeyMaterial { .. } => "Failed to read key material".into(),
            Self::Combination { mode, .. } => format!("Unsupported cipher mode {mode}"),
            Self::TooManyRounds { .. } => return None,
        })
    }
}
