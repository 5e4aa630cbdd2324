//! Digests of shards: BLAKE3 over the bytes up to the last one that isn't zero.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A BLAKE3 digest; 64 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of nothing: of a shard that is absent, empty, or all zeros.
    #[must_use]
    pub fn of_nothing() -> Self {
        blake3::hash(&[]).into()
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lower-case hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotADigest);
        }
        blake3::Hash::from_hex(text).map(Into::into).map_err(|_| NotADigest)
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Digests a stream with its trailing zeros cut, in one pass and without keeping it: runs of zeros are counted, and
/// hashed only when something else follows.
#[derive(Debug, Clone, Default)]
pub struct TrimmedHasher {
    hasher: blake3::Hasher,
    hashed: u64,
    zeros: u64,
}

impl TrimmedHasher {
    /// A hasher of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the stream's next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let kept = bytes.len() - trailing_zeros(bytes);
        if kept > 0 {
            self.hash_zeros();
            self.hasher.update(&bytes[..kept]);
            self.hashed += kept as u64;
        }
        self.zeros += (bytes.len() - kept) as u64;
    }

    /// Takes `len` bytes of zeros.
    pub fn skip_zeros(&mut self, len: u64) {
        self.zeros += len;
    }

    fn hash_zeros(&mut self) {
        self.hashed += self.zeros;
        while self.zeros > 0 {
            let len = self.zeros.min(ZEROS.len() as u64);
            self.hasher.update(&ZEROS[..len as usize]);
            self.zeros -= len;
        }
    }

    /// The digest, and how many bytes it is over: up to and with the last that isn't zero.
    #[must_use]
    pub fn finish(&self) -> (Digest, u64) {
        (self.hasher.finalize().into(), self.hashed)
    }
}

/// How many zeros `bytes` ends with.
fn trailing_zeros(bytes: &[u8]) -> usize {
    const BLOCK: usize = 128;
    let mut end = bytes.len();
    // Whole blocks first: the fold has no branch, so the compiler makes vectors of it.
    while let Some(start) = end.checked_sub(BLOCK) {
        if bytes[start..end].iter().fold(0, |seen, byte| seen | byte) != 0 {
            break;
        }
        end = start;
    }
    let last = bytes[..end].iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    bytes.len() - last
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reference(bytes: &[u8]) -> (Digest, u64) {
        let mut kept = bytes;
        while let Some((0, rest)) = kept.split_last() {
            kept = rest;
        }
        (blake3::hash(kept).into(), kept.len() as u64)
    }

    /// Runs of zeros and of anything, so that zeros cross the pieces.
    fn runs() -> impl Strategy<Value = Vec<(u8, usize)>> {
        prop::collection::vec((prop_oneof![Just(0u8), any::<u8>()], 0usize..400), 0..12)
    }

    proptest! {
        #[test]
        fn any_split_digests_as_the_whole_with_trailing_zeros_cut(runs in runs()) {
            let whole: Vec<u8> = runs.iter().flat_map(|(byte, len)| vec![*byte; *len]).collect();
            let mut hasher = TrimmedHasher::new();
            for (byte, len) in &runs {
                if *byte == 0 && len % 2 == 0 {
                    hasher.skip_zeros(*len as u64);
                } else {
                    hasher.update(&vec![*byte; *len]);
                }
            }
            prop_assert_eq!(hasher.finish(), reference(&whole));
        }

        #[test]
        fn a_digest_reads_back_from_its_text(bytes in any::<[u8; 32]>()) {
            let digest = Digest(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }
    }

    #[test]
    fn zeros_alone_digest_as_nothing() {
        let mut hasher = TrimmedHasher::new();
        hasher.update(&[0; 1000]);
        hasher.skip_zeros(1 << 40);
        assert_eq!(hasher.finish(), (Digest::of_nothing(), 0));
    }

    #[test]
    fn long_runs_of_zeros_before_data_are_hashed() {
        let len = ZEROS.len() as u64 * 2 + 5;
        let mut hasher = TrimmedHasher::new();
        hasher.skip_zeros(len);
        hasher.update(&[7]);
        let mut whole = vec![0; len as usize];
        whole.push(7);
        assert_eq!(hasher.finish(), reference(&whole));
    }
}
