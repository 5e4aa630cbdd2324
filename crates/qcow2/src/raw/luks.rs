//! The header of LUKS version 1 ("LUKS On-Disk Format Specification", 1.2.2, section 2.1).

use nom::Parser;
use nom::bytes::complete::tag;
use nom::number::complete::{be_u16, be_u32};

use super::{Parsed, array};

/// The first six bytes.
pub const LUKS_MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// Length of the header in bytes.
pub const LUKS1_HEADER_LEN: usize = 592;
/// A slot whose `active` field has this value holds a key.
pub const LUKS_SLOT_ACTIVE: u32 = 0x00ac_71f3;
/// The unit of LUKS's offsets, in bytes.
pub const LUKS_SECTOR: u64 = 512;

/// The header as stored. Texts are padded with NULs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLuksHeader {
    /// Version; only 1 has this layout.
    pub version: u16,
    /// Cipher, such as `aes`.
    pub cipher_name: [u8; 32],
    /// Mode and IV generator, such as `xts-plain64`.
    pub cipher_mode: [u8; 32],
    /// Hash of the key derivation, such as `sha256`.
    pub hash_spec: [u8; 32],
    /// Where the encrypted data begins, in sectors of 512 bytes from the LUKS header.
    pub payload_offset: u32,
    /// Length of the master key in bytes.
    pub key_bytes: u32,
    /// Digest of the master key.
    pub mk_digest: [u8; 20],
    /// Salt of that digest.
    pub mk_digest_salt: [u8; 32],
    /// Iterations of that digest.
    pub mk_digest_iter: u32,
    /// UUID as text.
    pub uuid: [u8; 40],
    /// The eight key slots.
    pub slots: [RawLuksSlot; 8],
}

/// One key slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawLuksSlot {
    /// [`LUKS_SLOT_ACTIVE`], or 0x0000dead.
    pub active: u32,
    /// Iterations of the passphrase's derivation.
    pub iterations: u32,
    /// Salt of that derivation.
    pub salt: [u8; 32],
    /// Where the key material begins, in sectors of 512 bytes from the LUKS header.
    pub key_material_offset: u32,
    /// Anti-forensic stripes.
    pub stripes: u32,
}

impl RawLuksHeader {
    /// Parses magic and version only.
    ///
    /// # Errors
    /// When the magic is not there or the bytes end first.
    pub fn parse_version(input: &[u8]) -> Parsed<'_, u16> {
        let (rest, _) = tag(&LUKS_MAGIC[..]).parse(input)?;
        be_u16(rest)
    }

    /// Parses the header.
    ///
    /// # Errors
    /// When the magic is not there or the bytes end first.
    pub fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, version) = Self::parse_version(input)?;
        let (rest, (cipher_name, cipher_mode, hash_spec)) = (array, array, array).parse(rest)?;
        let (rest, (payload_offset, key_bytes, mk_digest)) = (be_u32, be_u32, array).parse(rest)?;
        let (rest, (mk_digest_salt, mk_digest_iter, uuid)) = (array, be_u32, array).parse(rest)?;
        let (rest, slots) = RawLuksSlot::parse_all(rest)?;
        let header = Self {
            version,
            cipher_name,
            cipher_mode,
            hash_spec,
            payload_offset,
            key_bytes,
            mk_digest,
            mk_digest_salt,
            mk_digest_iter,
            uuid,
            slots,
        };
        Ok((rest, header))
    }
}

impl RawLuksSlot {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (active, iterations, salt)) = (be_u32, be_u32, array).parse(input)?;
        let (rest, (key_material_offset, stripes)) = (be_u32, be_u32).parse(rest)?;
        Ok((rest, Self { active, iterations, salt, key_material_offset, stripes }))
    }

    fn parse_all(input: &[u8]) -> Parsed<'_, [Self; 8]> {
        let mut slots =
            [Self { active: 0, iterations: 0, salt: [0; 32], key_material_offset: 0, stripes: 0 }; 8];
        let mut rest = input;
        for slot in &mut slots {
            (rest, *slot) = Self::parse(rest)?;
        }
        Ok((rest, slots))
    }
}
