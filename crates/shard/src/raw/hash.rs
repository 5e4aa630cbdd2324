//! DHT's hash of a name (dht-hashfn.c, libglusterfs hashfn.c): Davies-Meyer over TEA, 32 bits.

const DELTA: u32 = 0x9E37_79B9;
const START: (u32, u32) = (0x9464_A485, 0x542E_1A94);

/// TEA's rounds with key `k` over the state, added to the state.
fn absorb(state: (u32, u32), rounds: u32, k: [u32; 4]) -> (u32, u32) {
    let (mut b0, mut b1) = state;
    let mut sum = 0_u32;
    for _ in 0..rounds {
        sum = sum.wrapping_add(DELTA);
        let f = |b: u32, k0: u32, k1: u32| {
            (b << 4).wrapping_add(k0) ^ b.wrapping_add(sum) ^ (b >> 5).wrapping_add(k1)
        };
        b0 = b0.wrapping_add(f(b1, k[0], k[1]));
        b1 = b1.wrapping_add(f(b0, k[2], k[3]));
    }
    (state.0.wrapping_add(b0), state.1.wrapping_add(b1))
}

/// The hash of a name that is not munged any more.
///
/// The bytes after the last whole word are C's `char`s: those from 0x80 on are taken as Gluster does on x86,
/// where `char` is signed. Only names with such bytes could be placed differently by bricks on ARM.
#[must_use]
pub fn dm_hash(name: &[u8]) -> u32 {
    // The length is taken modulo 2^32; no name on a file system is longer than 255 bytes.
    let len = name.len() as u32;
    let half = len | (len << 8);
    let pad = half | (half << 16);
    let (groups, tail) = name.as_chunks::<16>();
    let mut state = START;
    for group in groups {
        let (words, _) = group.as_chunks::<4>();
        let mut key = [0; 4];
        for (k, word) in key.iter_mut().zip(words) {
            *k = u32::from_le_bytes(*word);
        }
        state = absorb(state, 6, key);
    }
    let (words, rest) = tail.as_chunks::<4>();
    let leftover = rest.iter().fold(pad, |word, &byte| (word << 8) | (i32::from(byte as i8) as u32));
    let mut key = [pad; 4];
    let mut filling = words.iter().map(|word| u32::from_le_bytes(*word)).chain([leftover]);
    for k in &mut key {
        *k = filling.next().unwrap_or(pad);
    }
    let (h0, h1) = absorb(state, 10, key);
    h0 ^ h1
}

/// What DHT hashes of a name by default: rsync's temporary names are cut to what they will be renamed to, as
/// the expression `^\.(.+)\.[^.]+$` has it.
#[must_use]
pub fn munge(name: &[u8]) -> &[u8] {
    let Some(rest) = name.strip_prefix(b".") else { return name };
    match rest.iter().rposition(|&byte| byte == b'.') {
        Some(dot) if dot > 0 && dot + 1 < rest.len() => &rest[..dot],
        _ => name,
    }
}
