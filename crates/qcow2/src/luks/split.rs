//! The anti-forensic splitter ("LUKS On-Disk Format Specification", 1.2.2, section 2.4).

use zeroize::Zeroizing;

use super::hash::Hash;

/// Puts a key of `len` bytes together from its stripes, which are as long each, one after the other.
pub(super) fn merge(hash: Hash, stripes: &[u8], len: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(vec![0; len]);
    let mut stripes = stripes.chunks_exact(len.max(1)).peekable();
    while let Some(stripe) = stripes.next() {
        key.iter_mut().zip(stripe).for_each(|(key, stripe)| *key ^= stripe);
        // The last one is the difference itself.
        if stripes.peek().is_some() {
            key = diffuse(hash, &key);
        }
    }
    key
}

/// Each part as long as a digest becomes the digest of its number and itself; the last is cut.
fn diffuse(hash: Hash, key: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut diffused = Zeroizing::new(Vec::with_capacity(key.len()));
    for (number, part) in (0_u32..).zip(key.chunks(hash.len())) {
        let digest = hash.digest(&[&number.to_be_bytes(), part]);
        diffused.extend(digest.iter().take(part.len()));
    }
    diffused
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is split, by the rule in the other direction, is merged again.
        #[test]
        fn a_key_comes_back_from_its_stripes(
            // From the shortest that LUKS has: of keys of a byte or two, others come by chance.
            key in prop::collection::vec(any::<u8>(), 16..80),
            noise in prop::collection::vec(any::<u8>(), 5 * 80),
            sha1 in any::<bool>(),
        ) {
            let hash = if sha1 { Hash::Sha1 } else { Hash::Sha256 };
            let mut stripes = noise[..5 * key.len()].to_vec();
            let mut last = Zeroizing::new(vec![0; key.len()]);
            for stripe in stripes.chunks(key.len()) {
                last.iter_mut().zip(stripe).for_each(|(last, byte)| *last ^= byte);
                last = diffuse(hash, &last);
            }
            stripes.extend(last.iter().zip(&key).map(|(last, key)| last ^ key));
            prop_assert_eq!(&*merge(hash, &stripes, key.len()), &key);
            stripes[0] ^= 1;
            prop_assert_ne!(&*merge(hash, &stripes, key.len()), &key);
        }
    }
}
