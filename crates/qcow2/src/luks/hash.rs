//! Hashes that a LUKS header can name.

use pbkdf2::hmac::EagerHash;
use pbkdf2::pbkdf2_hmac;
use sha2::Digest;
use zeroize::Zeroizing;

/// A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Ripemd160,
    Sm3,
}

/// Runs code with a type that stands for the hash.
macro_rules! with {
    ($hash:expr, $type:ident => $code:expr) => {
        match $hash {
            Hash::Md5 => {
                type $type = md5::Md5;
                $code
            }
            Hash::Sha1 => {
                type $type = sha1::Sha1;
                $code
            }
            Hash::Sha224 => {
                type $type = sha2::Sha224;
                $code
            }
            Hash::Sha256 => {
                type $type = sha2::Sha256;
                $code
            }
            Hash::Sha384 => {
                type $type = sha2::Sha384;
                $code
            }
            Hash::Sha512 => {
                type $type = sha2::Sha512;
                $code
            }
            Hash::Ripemd160 => {
                type $type = ripemd::Ripemd160;
                $code
            }
            Hash::Sm3 => {
                type $type = sm3::Sm3;
                $code
            }
        }
    };
}

impl Hash {
    /// The hash of that name, as QEMU and LUKS have it.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            "ripemd160" => Self::Ripemd160,
            "sm3" => Self::Sm3,
            _ => return None,
        })
    }

    /// Bytes of a digest.
    pub(super) fn len(self) -> usize {
        with!(self, D => <D as Digest>::output_size())
    }

    /// The digest of the parts, one after the other.
    pub(super) fn digest(self, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        fn digest<D: Digest>(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
            let mut hash = D::new();
            parts.iter().for_each(|part| hash.update(part));
            Zeroizing::new(hash.finalize().to_vec())
        }
        with!(self, D => digest::<D>(parts))
    }

    /// PBKDF2 with HMAC: `len` bytes from a secret (RFC 8018, section 5.2).
    pub(super) fn derive(
        self,
        secret: &[u8],
        salt: &[u8],
        iterations: u32,
        len: usize,
    ) -> Zeroizing<Vec<u8>> {
        fn derive<D: EagerHash>(secret: &[u8], salt: &[u8], iterations: u32, out: &mut [u8]) {
            pbkdf2_hmac::<D>(secret, salt, iterations, out);
        }
        let mut key = Zeroizing::new(vec![0; len]);
        with!(self, D => derive::<D>(secret, salt, iterations, &mut key));
        key
    }

    /// How many rounds of hashing [`derive`](Self::derive) takes.
    pub(super) fn rounds(self, iterations: u32, len: usize) -> u64 {
        u64::from(iterations) * len.div_ceil(self.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn keys_are_derived_as_rfc_6070_says() {
        let key = Hash::Sha1.derive(b"password", b"salt", 4096, 20);
        assert_eq!(hex(&key), "4b007901b765489abead49d926f721d065a429c1");
        let long =
            Hash::Sha1.derive(b"passwordPASSWORDpassword", b"saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096, 25);
        assert_eq!(hex(&long), "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038");
        assert_eq!(Hash::Sha1.rounds(4096, 25), 2 * 4096);
        assert_eq!(Hash::Sha256.rounds(u32::MAX, 64), 2 * u64::from(u32::MAX));
    }

    #[test]
    fn every_name_stands_for_its_hash() {
        // Digests of "abc", from the hashes' own specifications.
        for (name, digest) in [
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("ripemd160", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
            ("sm3", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
        ] {
            let hash = Hash::from_name(name).expect("it is known");
            assert_eq!(hex(&hash.digest(&[b"a", b"bc"])), digest, "{name}");
            assert_eq!(hash.len() * 2, digest.len());
        }
        let lens = ["sha384", "sha512"].map(|name| Hash::from_name(name).expect("it is known").len());
        assert_eq!(lens, [48, 64]);
        assert_eq!(Hash::from_name("sha3"), None);
    }
}
