//! How far a node's clock is from this one, by the times in its log.

use jiff::{SignedDuration, Timestamp};

use super::LogScan;

/// What is no more than the clocks' grain and the time that a line takes to be written.
const GRAIN: SignedDuration = SignedDuration::from_secs(2);

/// Zones differ from UTC by multiples of this: a log that is not in UTC is no clock that is wrong.
const ZONES: i64 = 15 * 60;

/// How far the clock of a log's node is ahead of this one (behind, if negative), when it is certain that it is: what
/// `scan` holds was all written between `from` and `to` by this clock.
pub(crate) fn skew(scan: &LogScan, from: Timestamp, to: Timestamp) -> Option<SignedDuration> {
    let ahead = scan.last_stamp?.duration_since(to);
    let behind = scan.first_stamp?.duration_since(from);
    let apart = if ahead > GRAIN {
        ahead
    } else if behind < -GRAIN {
        behind
    } else {
        return None;
    };
    let (seconds, took) = (apart.as_secs().abs(), to.duration_since(from).as_secs().abs());
    // The first line came some time after `from`, the last some time before `to`.
    let to_zone = (seconds + ZONES - 1) / ZONES * ZONES - seconds;
    (to_zone > took + GRAIN.as_secs()).then_some(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn apart(first: i64, last: i64) -> Option<i64> {
        let line = |second| at(second).strftime("[%Y-%m-%d %H:%M:%S.250000] I [x] y\n").to_string();
        let text = line(first) + "no time here\n[2026-99-99 00:00:00] nor here\n" + &line(last);
        let scan = LogScan::read("log", text.as_bytes()).unwrap();
        skew(&scan, at(1_800_000_000), at(1_800_000_040)).map(|apart| apart.as_secs())
    }

    #[test]
    fn lines_from_before_the_run_or_from_the_future_tell_of_a_clock_and_others_do_not() {
        let began = 1_800_000_000;
        assert_eq!(apart(began, began + 39), None);
        assert_eq!(apart(began - 1, began + 41), None);
        assert_eq!(apart(began + 30, began + 69), Some(29));
        assert_eq!(apart(began - 30, began + 9), Some(-29));
        // An hour, and five hours and a half: zones.
        assert_eq!(apart(began + 3600, began + 3639), None);
        assert_eq!(apart(began - 19_800, began - 19_761), None);
    }

    #[test]
    fn a_log_without_times_tells_nothing() {
        let scan = LogScan::read("log", &b"nothing\n"[..]).unwrap();
        assert_eq!(skew(&scan, at(0), at(10)), None);
    }
}
