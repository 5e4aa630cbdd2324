//! Looking at several shards at a time.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};

/// What a thread tells the one that waits for it.
enum Told<T> {
    /// So many bytes were read.
    Bytes(u64),
    /// The item of that number is done.
    Done(usize, T),
}

/// Tells how far the work is, and whether to go on.
pub(super) trait Steps {
    /// So many more bytes were read; `false` to end.
    fn bytes(&self, bytes: u64) -> bool;
}

struct Thread<'a, T> {
    told: Sender<Told<T>>,
    stop: &'a AtomicBool,
}

impl<T> Steps for Thread<'_, T> {
    fn bytes(&self, bytes: u64) -> bool {
        // Who waits is there as long as anybody works.
        let _ = self.told.send(Told::Bytes(bytes));
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Does `work` for each item, `jobs` at a time; the results are in the order of the items, without those of items that
/// were not begun once `go_on` said no. That is asked, on the caller's thread, with each number of bytes read (0 for an item that is done).
pub(super) fn for_each<I: Sync, T: Send>(
    jobs: NonZeroUsize,
    items: &[I],
    work: impl Fn(&I, &dyn Steps) -> T + Sync,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Vec<T> {
    let (told, hear) = mpsc::channel();
    let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(jobs.get().min(items.len()));
        for _ in 0..jobs.get().min(items.len()) {
            let (told, stop, next, work) = (told.clone(), &stop, &next, &work);
            threads.push(scope.spawn(move || {
                let thread = Thread { told, stop };
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { break };
                    let done = work(item, &thread);
                    let _ = thread.told.send(Told::Done(number, done));
                }
            }));
        }
        drop(told);
        let mut results = Vec::with_capacity(items.len());
        // Ends when the last thread does.
        for message in hear {
            let bytes = match message {
                Told::Bytes(bytes) => bytes,
                Told::Done(number, done) => {
                    results.push((number, done));
                    0
                }
            };
            if !stop.load(Ordering::Relaxed) && !go_on(bytes) {
                stop.store(true, Ordering::Relaxed);
            }
        }
        // The end of a scope doesn't wait for what a thread does after its closure: to give back its thread-locals.
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        results
    });
    results.sort_unstable_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_an_end_is_an_end() {
        let items: Vec<u64> = (0..1000).collect();
        for jobs in [1, 2, 7] {
            let jobs = NonZeroUsize::new(jobs).unwrap();
            let mut sum = 0;
            let work = |item: &u64, steps: &dyn Steps| {
                steps.bytes(*item);
                *item * 2
            };
            let done = for_each(jobs, &items, work, &mut |bytes| {
                sum += bytes;
                true
            });
            assert_eq!(done, items.iter().map(|item| item * 2).collect::<Vec<_>>());
            assert_eq!(sum, 499_500);
            let work = |_: &u64, steps: &dyn Steps| while steps.bytes(1) {};
            assert!(for_each(jobs, &items, work, &mut |_| false).len() <= jobs.get());
        }
        let none: Vec<()> = for_each(NonZeroUsize::MIN, &[0_u8; 0], |_, _| (), &mut |_| true);
        assert!(none.is_empty());
    }
}
