//! From a passphrase to the cipher of the data.

use stillpoint_storage::Storage;
use zeroize::Zeroizing;

use super::KeyError;
use super::hash::Hash;
use super::sectors::Sectors;
use super::split::merge;
use crate::Error;
use crate::raw::{RawCryptoExtension, RawLuksSlot};
use crate::tables::LuksHeader;

/// Bytes of the master key's digest.
const DIGEST_LEN: usize = 20;

/// A LUKS header, where it is, and how much may be done to open it.
pub(super) struct Lock<'a, S: ?Sized> {
    pub(super) storage: &'a S,
    pub(super) place: &'a RawCryptoExtension,
    pub(super) header: &'a LuksHeader,
    pub(super) hash: Hash,
    /// Rounds of hashing that may still be done.
    pub(super) rounds_left: u64,
}

impl<S: Storage + ?Sized> Lock<'_, S> {
    /// Tries the passphrases in their order on the active slots in theirs.
    pub(super) fn open<'p>(
        &mut self,
        passphrases: impl IntoIterator<Item = &'p [u8]>,
    ) -> Result<Sectors, Error> {
        let slots = || self.header.slots.iter().zip(&self.header.raw().slots).enumerate();
        let active: Vec<_> =
            slots().filter(|(_, (slot, _))| slot.active).map(|(i, (_, raw))| (i, *raw)).collect();
        let mut refused = if active.is_empty() { KeyError::NoActiveSlot } else { KeyError::NoSlotFits };
        for passphrase in passphrases {
            for (number, slot) in &active {
                match self.take_rounds(*number, slot) {
                    // Another slot may be cheaper.
                    Err(error) => refused = error,
                    Ok(()) => {
                        if let Some(key) = self.try_slot(*number, slot, passphrase)? {
                            return Ok(Sectors::new(self.header, &key)?);
                        }
                    }
                }
            }
        }
        Err(refused.into())
    }

    fn key_len(&self) -> usize {
        // At most 64: the header's own checks see to it.
        usize::try_from(self.header.raw().key_bytes).unwrap_or(usize::MAX)
    }

    /// Counts what trying the slot takes.
    fn take_rounds(&mut self, number: usize, slot: &RawLuksSlot) -> Result<(), KeyError> {
        let digest = self.hash.rounds(self.header.master_key_iterations, DIGEST_LEN);
        let rounds = self.hash.rounds(slot.iterations, self.key_len()).saturating_add(digest);
        let left = self.rounds_left;
        self.rounds_left =
            left.checked_sub(rounds).ok_or(KeyError::TooManyRounds { slot: number, rounds, left })?;
        Ok(())
    }

    /// The master key, if the passphrase is that of the slot.
    fn try_slot(
        &self,
        number: usize,
        slot: &RawLuksSlot,
        passphrase: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let len = self.key_len();
        let key = self.hash.derive(passphrase, &slot.salt, slot.iterations, len);
        let mut stripes = Zeroizing::new(self.key_material(number)?);
        let split = len * usize::try_from(slot.stripes).unwrap_or(0);
        Sectors::new(self.header, &key)?.decrypt_from(0, &mut stripes);
        let master = merge(self.hash, stripes.get(..split).unwrap_or_default(), len);
        let raw = self.header.raw();
        let digest = self.hash.derive(&master, &raw.mk_digest_salt, raw.mk_digest_iter, DIGEST_LEN);
        Ok((*digest == raw.mk_digest).then_some(master))
    }

    /// The encrypted stripes of a slot, filled up to a whole sector as they are stored.
    fn key_material(&self, number: usize) -> Result<Vec<u8>, Error> {
        let length = self.place.length;
        let past = KeyError::KeyMaterial { slot: number, length };
        let slot = self.header.slots.get(number).ok_or_else(|| past.clone())?;
        // At most 64 times 4000 bytes: the header's own checks see to both.
        let len = (self.key_len() as u64 * u64::from(slot.stripes)).next_multiple_of(512);
        if slot.key_offset + len > length {
            return Err(past.into());
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        let offset = self.place.offset.checked_add(slot.key_offset).ok_or(past)?;
        self.storage.read_exact_at(offset, &mut bytes).map_err(|source| Error::Io {
            what: "key material of LUKS",
            offset,
            source,
        })?;
        Ok(bytes)
    }
}
