//! Passphrases, and what they have opened.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use stillpoint_storage::Storage;
use zeroize::Zeroizing;

use super::KeyError;
use super::hash::Hash;
use super::sectors::Sectors;
use super::unlock::Lock;
use crate::tables::{Encryption, LuksHeader};
use crate::views::{SectorCipher, Unlock};
use crate::{Error, Image, Name};

/// Most rounds of hashing that are done for one image, unless a caller says otherwise: 2^28, a minute or two.
/// QEMU makes slots that take two seconds of its time, some millions. Our own limit, QEMU has none.
pub const DEFAULT_MAX_ROUNDS: u64 = 1 << 28;

/// A passphrase: bytes, commonly text. Never shown, and wiped from memory in the end.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// A passphrase of these bytes, all of them.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Opens each encrypted layer with the first of its passphrases that fits, and keeps what it opened, so that a
/// second disk of the same image takes no time.
pub struct Keyring {
    passphrases: Vec<Passphrase>,
    max_rounds: u64,
    /// A LUKS header and what opened it. The master key's digest is in the header: one that is the same has the
    /// same key.
    opened: Mutex<Vec<(LuksHeader, Arc<Sectors>)>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("passphrases", &self.passphrases.len())
            .field("max_rounds", &self.max_rounds)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// A ring of these passphrases. They are tried in their order.
    pub fn new(passphrases: impl IntoIterator<Item = Passphrase>) -> Self {
        Self {
            passphrases: passphrases.into_iter().collect(),
            max_rounds: DEFAULT_MAX_ROUNDS,
            opened: Mutex::default(),
        }
    }

    /// Sets the most rounds of hashing that are done for one image. A slot takes its iterations, times two where
    /// the key is longer than a digest.
    #[must_use]
    pub const fn max_rounds(mut self, rounds: u64) -> Self {
        self.max_rounds = rounds;
        self
    }

    /// What decrypts the data of `image`.
    ///
    /// # Errors
    /// When the image isn't encrypted with LUKS, no passphrase fits ([`KeyError::NoSlotFits`]), trying them
    /// takes more than is allowed ([`KeyError::TooManyRounds`]), or key material can't be read.
    pub fn open<S: Storage>(&self, image: &Image<S>) -> Result<Arc<dyn SectorCipher>, Error> {
        let (Some(header), Some(place)) = (image.luks(), image.extensions().crypto_header()) else {
            return Err(Error::Encrypted(image.header().encryption()));
        };
        if self.passphrases.is_empty() {
            return Err(Error::Encrypted(Encryption::Luks));
        }
        // Held while a slot is tried: who asks for the same image meanwhile would only do the same work.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sectors)) = opened.iter().find(|(known, _)| known == header) {
            return Ok(Arc::clone(sectors) as Arc<dyn SectorCipher>);
        }
        let hash = Hash::from_name(header.hash).ok_or(KeyError::NoSlotFits)?;
        let mut lock = Lock { storage: image.storage(), place, header, hash, rounds_left: self.max_rounds };
        let sectors = Arc::new(lock.open(self.passphrases.iter().map(|passphrase| passphrase.0.as_slice()))?);
        opened.push((header.clone(), Arc::clone(&sectors)));
        Ok(sectors)
    }
}

impl Unlock for Keyring {
    fn unlock(&self, image: &Image<Arc<dyn Storage>>, _: &Name) -> Result<Arc<dyn SectorCipher>, Error> {
        self.open(image)
    }
}
