//! Decoding fragments: Gluster's own, and those of an encoder that shares nothing with this crate.

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use stillpoint_shard::disperse::{CHUNK, Code};
use stillpoint_testkit::volume::fragment;

use super::support::pattern;
use super::vectors::{hex, list, number, vectors};

/// All ways to take `count` of `of` bricks.
pub(crate) fn subsets(of: usize, count: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..1_u64 << of)
        .filter(move |set| set.count_ones() as usize == count)
        .map(move |set| (0..of).filter(|brick| set >> brick & 1 == 1).collect())
}

fn decode(code: Code, bricks: &[usize], fragments: &[Vec<u8>]) -> Vec<u8> {
    let chosen: Vec<&[u8]> = bricks.iter().map(|&brick| &fragments[brick][..]).collect();
    let mut out = vec![0xee; chosen[0].len() * code.data()];
    code.decoder(bricks).unwrap().decode(&chosen, &mut out);
    out
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

#[test]
fn any_fragments_of_glusters_give_the_file_back() {
    let ec = vectors("ec");
    for case in list(&ec["vectors"]) {
        let (data, bricks) = (number(&case["K"]) as usize, number(&case["N"]) as usize);
        let input: Vec<u8> = (0..(CHUNK * data) as u64)
            .map(|i| {
                let x = (i * 2_654_435_761) as u32;
                (x >> 24 ^ x >> 11) as u8
            })
            .collect();
        let code = Code::new(bricks, bricks - data).unwrap();
        let made: Vec<Vec<u8>> = (0..bricks).map(|brick| fragment(data, brick, &input)).collect();
        assert_eq!(sha256(&input), hex(&case["input_sha256"]));
        let known = list(&case["fragments"]);
        assert_eq!(known.len(), bricks);
        for own in known {
            let brick = number(&own["row"]) as usize - 1;
            assert_eq!(sha256(&made[brick]), hex(&own["sha256"]), "{data} of {bricks}, fragment {brick}");
            assert!(own.get("hex").is_none_or(|whole| hex(whole) == made[brick]));
        }
        for chosen in subsets(bricks, data) {
            assert!(decode(code, &chosen, &made) == input, "{data} of {bricks}: {chosen:?}");
        }
    }
}

#[test]
fn every_set_that_gluster_makes_is_decoded_with_its_first_and_its_last_bricks_lost() {
    for data in 2..=16 {
        for redundancy in 1..data {
            let bricks = data + redundancy;
            let code = Code::new(bricks, redundancy).unwrap();
            let input = pattern(bricks as u64, code.stripe());
            let fragments: Vec<_> = (0..bricks).map(|brick| fragment(data, brick, &input)).collect();
            let first: Vec<usize> = (0..data).collect();
            let last: Vec<usize> = (redundancy..bricks).rev().collect();
            for chosen in [first, last] {
                assert!(decode(code, &chosen, &fragments) == input, "{data}+{redundancy} {chosen:?}");
            }
        }
    }
}

/// Why bricks alone are not decoded in an order that nobody vouches for: that fragments agree does not prove it. Adding
/// 7 swaps the rows 1 to 6 about, and a polynomial shifted by it is another of the same degree.
#[test]
fn in_reversed_order_all_fragments_of_four_and_two_agree_about_other_bytes() {
    let code = Code::new(6, 2).unwrap();
    let input = pattern(1, code.stripe());
    let mut fragments: Vec<_> = (0..6).map(|brick| fragment(4, brick, &input)).collect();
    fragments.reverse();
    let first = decode(code, &[0, 1, 2, 3], &fragments);
    assert!(first != input);
    assert!(subsets(6, 4).all(|bricks| decode(code, &bricks, &fragments) == first));
    // In most other orders they don't.
    fragments.swap(0, 1);
    assert!(decode(code, &[0, 1, 2, 3], &fragments) != decode(code, &[2, 3, 4, 5], &fragments));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_was_encoded_is_decoded_from_any_bricks_in_any_order(
        (data, redundancy) in (2..=16_usize).prop_flat_map(|data| (Just(data), 1..data)),
        stripes in 1..6_usize,
        content in any::<u64>(),
        order in any::<u64>(),
    ) {
        let code = Code::new(data + redundancy, redundancy).unwrap();
        let input = pattern(content, stripes * code.stripe());
        let mut bricks: Vec<usize> = (0..code.bricks()).collect();
        bricks.sort_by_key(|&brick| pattern(order ^ brick as u64, 8));
        bricks.truncate(data);
        let fragments: Vec<_> = (0..code.bricks()).map(|brick| fragment(data, brick, &input)).collect();
        prop_assert!(decode(code, &bricks, &fragments) == input);
    }
}
