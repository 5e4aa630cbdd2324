//! Big-endian bytes, one after the other.

/// A buffer that numbers are put into.
#[derive(Debug, Default)]
pub(super) struct Out(pub(super) Vec<u8>);

impl Out {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text in a field of `len` bytes, filled up with NULs.
    pub(super) fn field(&mut self, text: &[u8], len: usize) -> &mut Self {
        assert!(text.len() <= len, "{} bytes don't fit into {len}", text.len());
        self.bytes(text);
        self.0.resize(self.0.len() + len - text.len(), 0);
        self
    }

    /// Zeros up to a multiple of eight bytes.
    pub(super) fn pad8(&mut self) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self
    }
}
