//! One file, read by many threads at a time.

use stillpoint_shard::{OpenOptions, ShardedFile, Volume};
use stillpoint_storage::Storage;
use stillpoint_testkit::volume::Shape;

use super::support::{build, pattern};

const SHARD: usize = 4096;

const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = is_send_and_sync::<ShardedFile>();
const _: () = is_send_and_sync::<Volume>();

/// Far fewer shards are kept open than there are, so that threads open and close them under each other.
#[test]
fn threads_that_read_at_the_same_time_get_what_was_written() {
    for shape in [
        Shape { subvolumes: 2, replicas: 2, ..Shape::default() },
        Shape { subvolumes: 2, replicas: 3, redundancy: 1, ..Shape::default() },
    ] {
        for compare in [false, true] {
            let mut built = build(Shape { shard_size: SHARD as u64, ..shape.clone() });
            let mut model = pattern(1, 80 * SHARD + 123);
            model[30 * SHARD..40 * SHARD].fill(0);
            built.trees.create_file("disk").unwrap();
            built.trees.write("disk", 0, &model[..30 * SHARD]).unwrap();
            built.trees.write("disk", 40 * SHARD as u64, &model[40 * SHARD..]).unwrap();
            let options = OpenOptions { max_open_shards: 16, compare, ..OpenOptions::default() };
            let volume = Volume::open(built.topology(), &built.map(&[]), options).unwrap();
            let file = volume.open_file(&"disk".parse().unwrap()).unwrap();
            let (file, model) = (&file, &model);
            std::thread::scope(|scope| {
                for thread in 0..8_usize {
                    scope.spawn(move || {
                        // Each in an order of its own, pieces of all lengths, across shards.
                        let mut state = thread as u64 * 2 + 1;
                        for _ in 0..150 {
                            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                            let at = (state >> 33) as usize % model.len();
                            let len = ((state >> 20) as usize % (3 * SHARD)).min(model.len() - at);
                            let mut piece = vec![0xee; len];
                            file.read_exact_at(at as u64, &mut piece).unwrap();
                            assert!(piece == model[at..at + len], "{len} bytes at {at} differ");
                        }
                    });
                }
            });
            assert!(file.findings().is_empty(), "{:?}", file.findings());
        }
    }
}
