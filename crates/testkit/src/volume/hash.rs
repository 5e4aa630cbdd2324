//! DHT's hash of a name, written a second time from its description.

/// The hash of `name` with rsync's temporary names cut as the default expression has it.
#[must_use]
pub fn name_hash(name: &str) -> u32 {
    let bytes = name.as_bytes();
    // ^\.(.+)\.[^.]+$
    let cut = name
        .strip_prefix('.')
        .and_then(|rest| rest.rsplit_once('.'))
        .filter(|(head, tail)| !head.is_empty() && !tail.is_empty());
    match cut {
        Some((head, _)) => davies_meyer(head.as_bytes()),
        None => davies_meyer(bytes),
    }
}

fn davies_meyer(msg: &[u8]) -> u32 {
    let len = msg.len();
    let mut pad = (len as u32) | ((len as u32) << 8);
    pad |= pad << 16;
    let (mut h0, mut h1) = (0x9464_A485_u32, 0x542E_1A94_u32);
    let mut at = 0;
    while len - at >= 16 {
        let key = [word(msg, at), word(msg, at + 4), word(msg, at + 8), word(msg, at + 12)];
        round(6, &key, &mut h0, &mut h1);
        at += 16;
    }
    let mut key = [pad; 4];
    let mut k = 0;
    while len - at >= 4 {
        key[k] = word(msg, at);
        at += 4;
        k += 1;
    }
    while at < len {
        let signed = i32::from(msg[at] as i8);
        key[k] = (key[k] << 8) | signed as u32;
        at += 1;
    }
    round(10, &key, &mut h0, &mut h1);
    h0 ^ h1
}

fn word(msg: &[u8], at: usize) -> u32 {
    u32::from(msg[at])
        | u32::from(msg[at + 1]) << 8
        | u32::from(msg[at + 2]) << 16
        | u32::from(msg[at + 3]) << 24
}

fn round(times: usize, key: &[u32; 4], h0: &mut u32, h1: &mut u32) {
    let (mut b0, mut b1, mut sum) = (*h0, *h1, 0_u32);
    for _ in 0..times {
        sum = sum.wrapping_add(0x9E37_79B9);
        b0 = b0.wrapping_add(
            (b1 << 4).wrapping_add(key[0]) ^ b1.wrapping_add(sum) ^ (b1 >> 5).wrapping_add(key[1]),
        );
        b1 = b1.wrapping_add(
            (b0 << 4).wrapping_add(key[2]) ^ b0.wrapping_add(sum) ^ (b0 >> 5).wrapping_add(key[3]),
        );
    }
    *h0 = h0.wrapping_add(b0);
    *h1 = h1.wrapping_add(b1);
}

#[cfg(test)]
mod tests {
    use super::name_hash;

    #[test]
    fn the_hash_is_that_of_names_seen_on_real_bricks() {
        for (name, hash) in [
            ("", 0x8847_74a2),
            ("vm1.qcow2", 0xba26_17e6),
            (".vm1.qcow2.XyZ123", 0xba26_17e6),
            (".shard", 0xde70_c9dd),
            ("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0.1", 0xb5ce_725a),
        ] {
            assert_eq!(name_hash(name), hash, "{name}");
        }
    }
}
