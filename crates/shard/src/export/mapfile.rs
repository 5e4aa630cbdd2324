//! Which parts of a copy are done: GNU ddrescue's mapfile, so that its tools read ours.
//!
//! The format is that of ddrescue's manual, "Mapfile structure": comment lines; a line with the current position and
//! status; then lines `POS SIZE STATUS` without gaps or overlaps, numbers as in C.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is known about a part of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `?`: not tried yet.
    Untried,
    /// `*`: failed, and its edges were not trimmed. ddrescue's own; tried again here.
    Untrimmed,
    /// `/`: failed, and was not scraped. ddrescue's own; tried again here.
    Unscraped,
    /// `-`: can't be read, or what it holds is not known.
    Bad,
    /// `+`: copied.
    Finished,
}

impl Status {
    const fn letter(self) -> char {
        match self {
            Self::Untried => '?',
            Self::Untrimmed => '*',
            Self::Unscraped => '/',
            Self::Bad => '-',
            Self::Finished => '+',
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        [Self::Untried, Self::Untrimmed, Self::Unscraped, Self::Bad, Self::Finished]
            .into_iter()
            .find(|status| text.chars().eq([status.letter()]))
    }
}

/// A part of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes; at least 1.
    pub len: u64,
    /// What is known about it.
    pub status: Status,
}

/// What ours begin with.
const ABOUT: &str = "# stillpoint export of ";

/// The parts of a copy. Takes memory for each change of status from one byte to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapfile {
    about: String,
    total: u64,
    /// Where areas begin; each reaches to the next, neighbours differ.
    areas: BTreeMap<u64, Status>,
}

impl Mapfile {
    /// Nothing of `total` bytes is tried yet. `about` says what is copied, in one line.
    #[must_use]
    pub fn new(about: &str, total: u64) -> Self {
        let areas = if total > 0 { BTreeMap::from([(0, Status::Untried)]) } else { BTreeMap::new() };
        Self { about: one_line(about), total, areas }
    }

    /// Reads a mapfile.
    ///
    /// # Errors
    /// In words, when it is none, has gaps or overlaps, or doesn't begin at 0.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut about = String::new();
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            match line.strip_prefix(ABOUT) {
                // As it would be written: a line that ends in several carriage returns loses one of them here.
                Some(found) if about.is_empty() => about = one_line(found),
                _ if line.starts_with('#') || line.trim().is_empty() => {}
                _ => lines.push((number, line)),
            }
        }
        let mut lines = lines.into_iter();
        let (number, line) = lines.next().ok_or("it has no status line")?;
        let position = line.split_whitespace().next().and_then(number_of);
        position.ok_or_else(|| format!("line {number} is not the status line that comes first"))?;
        let mut areas = BTreeMap::new();
        let mut total = 0_u64;
        let mut last = None;
        for (number, line) in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let area = if let [offset, len, status] = words[..] {
                number_of(offset).zip(number_of(len)).zip(Status::from_text(status))
            } else {
                None
            };
            let ((offset, len), status) =
                area.filter(|((_, len), _)| *len > 0).ok_or_else(|| format!("line {number} is no area"))?;
            if offset != total {
                return Err(format!(
                    "line {number} begins at {offset}, not where the one before ends, {total}"
                ));
            }
            total = offset.checked_add(len).ok_or_else(|| format!("line {number} ends past 64 bits"))?;
            if last.replace(status) != Some(status) {
                areas.insert(offset, status);
            }
        }
        Ok(Self { about, total, areas })
    }

    /// What is copied.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// How long the copy is to be, in bytes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The parts in order, without gaps; neighbours differ in status.
    pub fn areas(&self) -> impl Iterator<Item = Area> {
        let ends = self.areas.keys().skip(1).copied().chain([self.total]);
        self.areas.iter().zip(ends).map(|((&offset, &status), end)| Area {
            offset,
            len: end - offset,
            status,
        })
    }

    /// How many bytes have `status`.
    #[must_use]
    pub fn bytes(&self, status: Status) -> u64 {
        self.areas().filter(|area| area.status == status).map(|area| area.len).sum()
    }

    /// Gives `len` bytes from `offset` on another status; what is past the end is not there.
    pub fn mark(&mut self, offset: u64, len: u64, status: Status) {
        let end = offset.saturating_add(len).min(self.total);
        if offset >= end {
            return;
        }
        let at = |areas: &BTreeMap<u64, Status>, place: u64| {
            areas.range(..=place).next_back().map(|(_, found)| *found)
        };
        let after = at(&self.areas, end).filter(|_| end < self.total);
        let within: Vec<u64> = self.areas.range(offset..=end).map(|(start, _)| *start).collect();
        for start in within {
            self.areas.remove(&start);
        }
        if at(&self.areas, offset) != Some(status) {
            self.areas.insert(offset, status);
        }
        if let Some(after) = after.filter(|after| *after != status) {
            self.areas.insert(end, after);
        }
    }

    /// As a mapfile has it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let next = self.areas().find(|area| area.status != Status::Finished);
        let (position, status) = next.map_or((0, '+'), |area| (area.offset, '?'));
        let mut text = format!(
            "# Mapfile. Created by stillpoint version {}\n{ABOUT}{}\n# current_pos  current_status  current_pass\n\
             0x{position:08X}     {status}               1\n#      pos        size  status\n",
            env!("CARGO_PKG_VERSION"),
            self.about,
        );
        for Area { offset, len, status } in self.areas() {
            let _ = writeln!(text, "0x{offset:08X}  0x{len:08X}  {}", status.letter());
        }
        text
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A number as C writes it: decimal, hexadecimal after `0x`, octal after `0`.
fn number_of(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // from_str_radix takes signs.
    digits.chars().all(|c| c.is_digit(radix)).then(|| u64::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Status; 5] =
        [Status::Untried, Status::Untrimmed, Status::Unscraped, Status::Bad, Status::Finished];

    proptest! {
        #[test]
        fn marks_are_what_a_byte_by_byte_map_says_and_survive_being_written(
            total in 0_u64..200,
            marks in proptest::collection::vec((0_u64..220, 0_u64..100, 0_usize..5), 0..20),
        ) {
            let mut map = Mapfile::new("disk\nof a guest", total);
            let mut model = vec![Status::Untried; total as usize];
            for (offset, len, status) in marks {
                map.mark(offset, len, ALL[status]);
                model.iter_mut().skip(offset as usize).take(len as usize).for_each(|byte| *byte = ALL[status]);
            }
            let mut end = 0;
            let mut before = None;
            for area in map.areas() {
                prop_assert_eq!(area.offset, end);
                prop_assert!(area.len > 0 && before != Some(area.status));
                end += area.len;
                before = Some(area.status);
                prop_assert!(model[area.offset as usize..end as usize].iter().all(|byte| *byte == area.status));
            }
            prop_assert_eq!(end, total);
            let again = Mapfile::parse(&map.to_text()).unwrap();
            prop_assert_eq!(again.about(), "disk?of a guest");
            prop_assert_eq!(again, map);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[#0-9x+?*/ \n-]{0,80}") {
            let _ = Mapfile::parse(&text);
        }
    }

    #[test]
    fn ddrescues_own_are_read() {
        let text = "# Mapfile. Created by GNU ddrescue version 1.27\n# current_pos  current_status  current_pass\n\
                    0x00120000     *               1\n#      pos        size  status\n0x00000000  0x00117000  +\n\
                    0x00117000  512  -\n0x00117200  01000  ?\n";
        let map = Mapfile::parse(text).unwrap();
        let seen: Vec<_> = map.areas().map(|area| (area.offset, area.len, area.status)).collect();
        let expected = [
            (0, 0x11_7000, Status::Finished),
            (0x11_7000, 512, Status::Bad),
            (0x11_7200, 512, Status::Untried),
        ];
        assert_eq!(seen, expected);
        assert_eq!((map.total(), map.bytes(Status::Bad), map.about()), (0x11_7400, 512, ""));
    }

    #[test]
    fn what_has_gaps_or_overlaps_or_is_cut_short_is_refused_by_its_line() {
        let head = "0 ? 1\n";
        for (text, line) in [
            ("1 1 +\n", "line 2"),
            ("0 2 +\n1 1 +\n", "line 3"),
            ("0 2 +\n3 1 +\n", "line 3"),
            ("0 0 +\n", "line 2"),
            ("0 2\n", "line 2"),
            ("0 2 x\n", "line 2"),
            ("0 0xffffffffffffffff +\n18446744073709551615 1 -\n", "line 3"),
            ("0 +2 +\n", "line 2"),
        ] {
            let problem = Mapfile::parse(&format!("{head}{text}")).unwrap_err();
            assert!(problem.contains(line), "{text}: {problem}");
        }
        assert!(Mapfile::parse("# nothing\n").is_err());
        assert!(Mapfile::parse("rubbish\n").unwrap_err().contains("line 1"));
    }

    #[test]
    fn what_was_copied_is_read_as_it_is_written_again() {
        let map = Mapfile::parse("# stillpoint export of a\r\u{7}b\r\r\r\n0 ? 1\n0 512 +\n").unwrap();
        assert_eq!(map.about(), "a??b??");
        assert_eq!(Mapfile::parse(&map.to_text()), Ok(map));
    }
}
