//! Ranges of a disk, gathered for several threads.

/// Bytes of the disk that one thread deals with at a time: as much as the largest cluster, so that none is
/// decompressed by two of them.
pub(crate) const WINDOW: u64 = 2 << 20;
/// Windows that are gathered before threads begin with them.
const BATCH: usize = 32;

/// Ranges, start and length in bytes, within one window of the disk, in order.
pub(crate) type Window = Vec<(u64, u64)>;

/// Gathers ranges that come in order.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    windows: Vec<Window>,
}

impl Windows {
    /// Adds the beginning of a range, at most to the end of its window; tells how much of it.
    pub(crate) fn add(&mut self, start: u64, len: u64) -> u64 {
        let len = len.min(WINDOW - start % WINDOW);
        let window = self
            .windows
            .last_mut()
            .filter(|window| window.last().is_some_and(|(last, _)| last / WINDOW == start / WINDOW));
        match window {
            None => self.windows.push(vec![(start, len)]),
            Some(window) => match window.last_mut() {
                Some((last, last_len)) if *last + *last_len == start => *last_len += len,
                _ => window.push((start, len)),
            },
        }
        len
    }

    /// Whether there are as many as are to be dealt with at once.
    pub(crate) fn is_full(&self) -> bool {
        self.windows.len() > BATCH
    }

    /// Takes what was gathered; all but the last window, which may go on, unless it `is_end`.
    pub(crate) fn take(&mut self, is_end: bool) -> Vec<Window> {
        let last = if is_end { None } else { self.windows.pop() };
        std::mem::replace(&mut self.windows, last.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_split_where_windows_end_and_neighbours_are_one() {
        let mut windows = Windows::default();
        assert_eq!(windows.add(WINDOW - 10, 30), 10);
        assert_eq!(windows.add(WINDOW, 20), 20);
        windows.add(WINDOW + 20, 5);
        windows.add(WINDOW + 30, 5);
        let expected = [vec![(WINDOW - 10, 10)], vec![(WINDOW, 25), (WINDOW + 30, 5)]];
        assert_eq!(windows.take(false), expected[..1]);
        assert_eq!(windows.take(true), expected[1..]);
        assert!(windows.take(true).is_empty());
    }
}
