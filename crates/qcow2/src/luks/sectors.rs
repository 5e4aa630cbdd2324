//! Modes and initialisation vectors: from a cipher of blocks to one of sectors ("LUKS On-Disk Format
//! Specification", 1.2.2, section 2.1 and table 3; XTS: IEEE 1619).

use super::KeyError;
use super::block::{Blocks, cipher};
use super::hash::Hash;
use crate::tables::{HostOffset, LuksHeader};
use crate::views::{SECTOR, SectorCipher};

/// Bytes of a sector.
const LEN: usize = SECTOR as usize;

/// Decrypts sectors by their number.
pub(super) struct Sectors {
    blocks: Box<dyn Blocks>,
    mode: Mode,
    iv: Iv,
}

enum Mode {
    Ecb,
    Cbc,
    Ctr,
    /// With the cipher, under the second half of the key, that makes the tweak.
    Xts(Box<dyn Blocks>),
}

enum Iv {
    /// The sector's number in 32 bits.
    Plain,
    /// The sector's number in 64 bits.
    Plain64,
    /// The same, encrypted under a digest of the key.
    Essiv(Box<dyn Blocks>),
}

impl Sectors {
    /// The cipher that `header` tells, with this key.
    pub(super) fn new(header: &LuksHeader, key: &[u8]) -> Result<Self, KeyError> {
        let (name, mode, ivgen) = (header.cipher, header.mode, header.ivgen);
        let refused = || KeyError::Combination { cipher: name, mode, ivgen };
        let (family, _) = name.split_once('-').ok_or_else(refused)?;
        let new = |key: &[u8]| cipher(family, key).ok_or_else(refused);
        let (blocks, mode) = match header.mode {
            "ecb" => (new(key)?, Mode::Ecb),
            "cbc" => (new(key)?, Mode::Cbc),
            "ctr" => (new(key)?, Mode::Ctr),
            "xts" => {
                let (data, tweak) = key.split_at(key.len() / 2);
                (new(data)?, Mode::Xts(new(tweak)?))
            }
            _ => return Err(refused()),
        };
        if matches!(mode, Mode::Xts(_)) && blocks.len() != 16 {
            return Err(refused());
        }
        let iv = match (header.ivgen, header.ivgen_hash.and_then(Hash::from_name)) {
            ("plain", _) => Iv::Plain,
            ("plain64", _) => Iv::Plain64,
            // QEMU has no vectors of CAST5's.
            ("essiv", Some(hash)) if family != "cast5" => Iv::Essiv(new(&hash.digest(&[key]))?),
            _ => return Err(refused()),
        };
        Ok(Self { blocks, mode, iv })
    }

    /// Decrypts sectors in place, the first of which has that number. A last one that is cut is one like the
    /// others, up to its last whole block.
    pub(super) fn decrypt_from(&self, first: u64, bytes: &mut [u8]) {
        for (number, sector) in (first..).zip(bytes.chunks_mut(LEN)) {
            self.decrypt_one(number, sector);
        }
    }

    fn decrypt_one(&self, number: u64, sector: &mut [u8]) {
        let block = self.blocks.len();
        let iv = self.iv(number);
        match &self.mode {
            Mode::Ecb => self.blocks.decrypt(sector),
            Mode::Cbc => {
                let mut before = [0; LEN];
                // Each block is mixed with the encrypted one before it, the first with the vector.
                let bytes = iv.iter().take(block).chain(sector.iter());
                before.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                self.blocks.decrypt(sector);
                xor(sector, &before);
            }
            Mode::Ctr => {
                let mut stream = [0; LEN];
                let mut counter = iv;
                for part in stream.chunks_exact_mut(block) {
                    part.copy_from_slice(counter.get(..block).unwrap_or_default());
                    increment(counter.get_mut(..block).unwrap_or_default());
                }
                self.blocks.encrypt(&mut stream);
                xor(sector, &stream);
            }
            Mode::Xts(tweak) => {
                let tweaks = tweaks(&**tweak, iv);
                xor(sector, &tweaks);
                self.blocks.decrypt(sector);
                xor(sector, &tweaks);
            }
        }
    }

    /// The vector of a sector: the first bytes of these, as many as a block has.
    fn iv(&self, number: u64) -> [u8; 16] {
        let number = if let Iv::Plain = self.iv { number & u64::from(u32::MAX) } else { number };
        let mut iv = u128::from(number).to_le_bytes();
        if let Iv::Essiv(cipher) = &self.iv {
            let block = cipher.len();
            cipher.encrypt(iv.get_mut(..block).unwrap_or_default());
        }
        iv
    }
}

impl SectorCipher for Sectors {
    fn decrypt(&self, offset: HostOffset, sectors: &mut [u8]) {
        let whole = sectors.len() / LEN * LEN;
        self.decrypt_from(offset.0 / SECTOR, sectors.get_mut(..whole).unwrap_or_default());
    }
}

/// The tweaks of a sector's blocks: the encrypted vector, doubled from block to block in GF(2^128).
fn tweaks(cipher: &dyn Blocks, mut first: [u8; 16]) -> [u8; LEN] {
    cipher.encrypt(&mut first);
    let mut tweak = u128::from_le_bytes(first);
    let mut tweaks = [0; LEN];
    for part in tweaks.as_chunks_mut::<16>().0 {
        *part = tweak.to_le_bytes();
        tweak = tweak << 1 ^ if tweak >> 127 == 0 { 0 } else { 0x87 };
    }
    tweaks
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    bytes.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
}

/// Adds one to a big-endian number.
fn increment(number: &mut [u8]) {
    for byte in number.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
    }

    #[test]
    fn xts_decrypts_as_ieee_1619_says() {
        // Vector 4 (AES-128, sector 0) and the beginning of vector 10 (AES-256, sector 0xff).
        let plain: Vec<u8> = (0..=255).cycle().take(LEN).collect();
        for (first, second, number, encrypted) in [
            (
                "27182818284590452353602874713526",
                "31415926535897932384626433832795",
                0,
                "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c",
            ),
            (
                "2718281828459045235360287471352662497757247093699959574966967627",
                "3141592653589793238462643383279502884197169399375105820974944592",
                0xff,
                "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b",
            ),
        ] {
            let new = |key: &str| cipher("aes", &bytes(key)).expect("AES has keys of this length");
            let sectors = Sectors { blocks: new(first), mode: Mode::Xts(new(second)), iv: Iv::Plain64 };
            let mut sector = bytes(encrypted);
            sectors.decrypt_from(number, &mut sector);
            assert_eq!(sector, plain[..32]);
        }
    }

    #[test]
    fn a_counter_goes_round() {
        let mut counter = [0xff, 0xff];
        increment(&mut counter);
        assert_eq!(counter, [0, 0]);
        increment(&mut counter);
        assert_eq!(counter, [0, 1]);
    }
}
