//! Work on several threads.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// As many threads as there are processors, 8 at most.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8)
}

/// Does `work` for each of `items` on at most `threads` threads, and gives the results in the items' order. After an
/// error no further work is begun; the first error in that order that happened is given.
pub(crate) fn in_parallel<T: Sync, R: Send, E: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = work(item);
                    if result.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    // Nothing panics while it is held.
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_items_order_whatever_the_number_of_threads() {
        let items: Vec<u32> = (0..100).collect();
        for threads in [1, 2, 7] {
            let squares: Result<Vec<_>, ()> = in_parallel(&items, threads, |item| Ok(item * item));
            assert_eq!(squares, Ok(items.iter().map(|item| item * item).collect()));
            let failed = in_parallel(&items, threads, |item| if *item == 50 { Err(*item) } else { Ok(()) });
            assert_eq!(failed, Err(50));
        }
    }
}
