//! Several things at once.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

/// Does `work` with each of `items`, the first first, `lanes` of them at a time. All are done, whatever fails.
///
/// # Errors
/// What failed, one after the other.
pub(crate) fn in_lanes<T: Sync>(
    lanes: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let waiting = Mutex::new(items.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let Some(item) = next(&waiting) {
                    if let Err(error) = work(item) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

/// Not part of the loop's condition: there, the lock would be held while the work is done.
fn next<I: Iterator>(waiting: &Mutex<I>) -> Option<I::Item> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).next()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn all_are_done_at_once_and_each_failure_is_told() {
        let (together, done) = (Barrier::new(3), Mutex::new(Vec::new()));
        let outcome = in_lanes(3, &[1, 2, 3, 4, 5, 6], |number| {
            together.wait();
            done.lock().unwrap().push(*number);
            if number % 2 == 0 {
                bail!("{number} is even")
            }
            Ok(())
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, [1, 2, 3, 4, 5, 6]);
        let told = outcome.unwrap_err().to_string();
        assert!([2, 4, 6].iter().all(|number| told.contains(&format!("{number} is even"))), "{told}");
    }
}
