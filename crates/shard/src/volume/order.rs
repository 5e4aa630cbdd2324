//! The order of dispersed bricks that no description tells.

use super::OpenOptions;
use crate::ShardError;
use crate::disperse::FoundOrder;
use crate::set::Set;
use crate::topology::Order;

/// Puts the bricks of a dispersed set in the order in which they decode, where nothing tells it.
pub(super) fn put_in_order(set: Set, volume: &str, options: &OpenOptions) -> Result<Set, ShardError> {
    let Some(code) = set.code.filter(|_| set.subvolume.order == Order::Unknown) else { return Ok(set) };
    let here = set.trees.iter().filter(|tree| tree.is_ok()).count();
    // Nothing can be read then, in whichever order.
    if here < code.data() {
        return Ok(set);
    }
    if options.order_given {
        let bricks = (0..code.bricks()).collect();
        return Ok(rearranged(set, bricks, Order::Given, options));
    }
    let found = set.find_order(code)?;
    // A set that was added a moment ago: nothing on it takes an order to be read. What comes later does, see `rank`.
    if found.files == 0 && !found.any_data {
        return Ok(set);
    }
    let name = &set.subvolume.name;
    let what = match found.order {
        FoundOrder::One(places) => {
            let mut bricks = vec![None; code.bricks()];
            for (brick, place) in found.here.iter().zip(places) {
                if let Some(slot) = bricks.get_mut(place) {
                    *slot = Some(*brick);
                }
            }
            let mut others = (0..code.bricks()).filter(|brick| !found.here.contains(brick));
            let bricks =
                bricks.into_iter().map(|brick| brick.or_else(|| others.next()).unwrap_or(0)).collect();
            return Ok(rearranged(set, bricks, Order::Proven, options));
        }
        FoundOrder::Several([one, other]) => {
            let named = |order: &[usize]| {
                let mut placed: Vec<(usize, String)> = order
                    .iter()
                    .zip(&found.here)
                    .map(|(place, brick)| (*place, set.brick(*brick).to_string()))
                    .collect();
                placed.sort();
                placed
                    .into_iter()
                    .map(|(place, brick)| format!("{place} {brick}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            format!(
                "subvolume {name} is dispersed, and its {} files that were looked at decode in several orders of its bricks, \
                 such as ({}) and ({})",
                found.files,
                named(&one),
                named(&other)
            )
        }
        FoundOrder::TooMany => format!(
            "subvolume {name} is dispersed, and its {} files that tell something of the order of its bricks leave too many",
            found.files
        ),
        FoundOrder::None => format!(
            "subvolume {name} is dispersed, and its {} files that were looked at decode in no order of the bricks given: \
             they are not of one set, or what they hold is damaged",
            found.files
        ),
    };
    let what = format!(
        "{what}; give more of its bricks, describe the volume by glusterd's directory of it, the output of `gluster volume \
         info --xml` or a volfile, or give the bricks in their order and say so (on the command line with --disperse-order \
         given)"
    );
    Err(ShardError::Unsupported { volume: volume.to_owned(), what })
}

/// The same set, its bricks in this order of their numbers.
fn rearranged(set: Set, order: Vec<usize>, known: Order, options: &OpenOptions) -> Set {
    let mut subvolume = set.subvolume;
    subvolume.order = known;
    let mut bricks: Vec<Option<_>> = subvolume.bricks.into_iter().zip(set.trees).map(Some).collect();
    let ordered = order.into_iter().filter_map(|brick| bricks.get_mut(brick).and_then(Option::take));
    let trees;
    (subvolume.bricks, trees) = ordered.unzip();
    Set::new(subvolume, trees, options)
}
