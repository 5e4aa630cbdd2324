//! Block ciphers that a LUKS header can name.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit, typenum::Unsigned};

/// A block cipher with its key. What is left over of `blocks` after the last whole block isn't touched.
pub(super) trait Blocks: Send + Sync {
    /// Bytes of a block: 8 or 16.
    fn len(&self) -> usize;
    fn encrypt(&self, blocks: &mut [u8]);
    fn decrypt(&self, blocks: &mut [u8]);
}

impl<C: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser + Send + Sync> Blocks for C {
    fn len(&self) -> usize {
        C::BlockSize::USIZE
    }

    fn encrypt(&self, blocks: &mut [u8]) {
        self.encrypt_blocks(Array::slice_as_chunks_mut(blocks).0);
    }

    fn decrypt(&self, blocks: &mut [u8]) {
        self.decrypt_blocks(Array::slice_as_chunks_mut(blocks).0);
    }
}

/// The cipher of that family (`aes`, `serpent`, `twofish` or `cast5`) with a key of a length that it has; `None`
/// where it hasn't.
pub(super) fn cipher(family: &str, key: &[u8]) -> Option<Box<dyn Blocks>> {
    fn new<C: KeyInit + Blocks + 'static>(key: &[u8]) -> Option<Box<dyn Blocks>> {
        C::new_from_slice(key).ok().map(|cipher| Box::new(cipher) as Box<dyn Blocks>)
    }
    match (family, key.len()) {
        ("aes", 16) => new::<aes::Aes128>(key),
        ("aes", 24) => new::<aes::Aes192>(key),
        ("aes", 32) => new::<aes::Aes256>(key),
        ("serpent", 16 | 24 | 32) => new::<serpent::Serpent>(key),
        ("twofish", 16 | 24 | 32) => new::<twofish::Twofish>(key),
        ("cast5", 16) => new::<cast5::Cast5>(key),
        _ => None,
    }
}
