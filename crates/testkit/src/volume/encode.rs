//! Gluster's erasure code, written a second time from its description: element by element, with tables of logarithms.

/// Bytes of a chunk.
const CHUNK: usize = 512;

/// The fragment of brick `number`, counted from 0, of a file that any `data` fragments give back.
///
/// # Panics
/// When `data` is none of 1 to 16, or there can't be such a brick.
#[must_use]
pub fn fragment(data: usize, number: usize, content: &[u8]) -> Vec<u8> {
    assert!((1..=16).contains(&data) && number < 2 * data, "a brick of a set that Gluster makes");
    let field = Field::new();
    let base = u8::try_from(number + 1).expect("few bricks");
    let mut factors = vec![1_u8];
    for _ in 1..data {
        factors.insert(0, field.times(factors[0], base));
    }
    let stripe = data * CHUNK;
    let mut padded = content.to_vec();
    padded.resize(content.len().div_ceil(stripe) * stripe, 0);
    let mut fragment = Vec::with_capacity(padded.len() / data);
    for stripe in padded.chunks(stripe) {
        let mut sums = [0_u8; CHUNK];
        for (chunk, &factor) in stripe.chunks(CHUNK).zip(&factors) {
            for (element, sum) in sums.iter_mut().enumerate() {
                *sum ^= field.times(element_of(chunk, element), factor);
            }
        }
        let mut chunk = [0_u8; CHUNK];
        for (element, sum) in sums.into_iter().enumerate() {
            for bit in 0..8 {
                chunk[bit * 64 + element / 8] |= (sum >> bit & 1) << (element % 8);
            }
        }
        fragment.extend_from_slice(&chunk);
    }
    fragment
}

/// Element `e` of a chunk: its bit `p` is the bit `e % 8` of byte `e / 8` of the chunk's `p`-th 64 bytes.
fn element_of(chunk: &[u8], e: usize) -> u8 {
    (0..8).map(|bit| (chunk[bit * 64 + e / 8] >> (e % 8) & 1) << bit).sum()
}

/// GF(2^8) with the polynomial 0x11d, which 2 generates.
struct Field {
    exp: [u8; 255],
    log: [u8; 256],
}

impl Field {
    fn new() -> Self {
        let mut field = Self { exp: [0; 255], log: [0; 256] };
        let mut value = 1_u16;
        for n in 0..255_u8 {
            field.exp[usize::from(n)] = value as u8;
            field.log[usize::from(value)] = n;
            value <<= 1;
            if value > 255 {
                value ^= 0x11d;
            }
        }
        field
    }

    fn times(&self, a: u8, b: u8) -> u8 {
        if a == 0 || b == 0 {
            return 0;
        }
        let sum = usize::from(self.log[usize::from(a)]) + usize::from(self.log[usize::from(b)]);
        self.exp[sum % 255]
    }
}
