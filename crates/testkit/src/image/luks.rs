//! A LUKS header. No key is in it: it is there to be described.

use super::bytes::Out;

/// A key slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LuksSlotSpec {
    /// 0x00ac71f3 active, 0x0000dead disabled.
    pub active: u32,
    /// Iterations.
    pub iterations: u32,
    /// Offset of the key material in sectors of 512 bytes.
    pub key_offset: u32,
    /// Stripes.
    pub stripes: u32,
}

/// The header of LUKS version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LuksSpec {
    /// Version.
    pub version: u16,
    /// Cipher's name, at most 32 bytes.
    pub cipher_name: Vec<u8>,
    /// Cipher's mode, at most 32 bytes.
    pub cipher_mode: Vec<u8>,
    /// Hash, at most 32 bytes.
    pub hash_spec: Vec<u8>,
    /// Payload offset in sectors of 512 bytes.
    pub payload_offset: u32,
    /// Length of the master key in bytes.
    pub key_bytes: u32,
    /// Iterations of the master key's digest.
    pub master_key_iterations: u32,
    /// UUID, at most 40 bytes.
    pub uuid: Vec<u8>,
    /// The eight slots.
    pub slots: [LuksSlotSpec; 8],
}

impl Default for LuksSpec {
    /// As `qemu-img create` makes it: AES-256 in XTS mode, the first slot active.
    fn default() -> Self {
        let slot = |i: u32| LuksSlotSpec {
            active: if i == 0 { 0x00AC_71F3 } else { 0x0000_DEAD },
            iterations: if i == 0 { 1000 } else { 0 },
            key_offset: 8 + 504 * i,
            stripes: 4000,
        };
        Self {
            version: 1,
            cipher_name: b"aes".to_vec(),
            cipher_mode: b"xts-plain64".to_vec(),
            hash_spec: b"sha256".to_vec(),
            payload_offset: 8 + 504 * 8,
            key_bytes: 64,
            master_key_iterations: 1000,
            uuid: b"6f5e4d3c-0000-4000-8000-000000000001".to_vec(),
            slots: [0, 1, 2, 3, 4, 5, 6, 7].map(slot),
        }
    }
}

impl LuksSpec {
    /// The 592 bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.bytes(b"LUKS\xba\xbe").u16(self.version);
        out.field(&self.cipher_name, 32).field(&self.cipher_mode, 32).field(&self.hash_spec, 32);
        out.u32(self.payload_offset).u32(self.key_bytes).field(b"", 20).field(b"", 32);
        out.u32(self.master_key_iterations).field(&self.uuid, 40);
        for slot in &self.slots {
            out.u32(slot.active).u32(slot.iterations).field(b"", 32).u32(slot.key_offset).u32(slot.stripes);
        }
        out.0
    }

    /// The bytes that header and key material take, as the header tells it.
    pub(super) fn total_len(&self) -> u64 {
        u64::from(self.payload_offset) * 512
    }
}
