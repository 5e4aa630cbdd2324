//! The raw layer: one line of a journal, sealed with a checksum that also covers every line before it.
//!
//! A line is a JSON object whose first member is the checksum:
//! `{"sum":"32 lower-case hexadecimal digits","…":…}` and a line feed. The checksum is the first 16 bytes of
//! BLAKE3, in `derive_key` mode under [`CONTEXT`], over the previous line's 16 checksum bytes (zeros for the
//! first line) and the line's bytes with the `sum` member and the line feed left out. So a line that was
//! changed, dropped, doubled or moved doesn't verify.

/// The key derivation context of the checksum.
const CONTEXT: &str = "stillpoint 2026-11-23 journal line v1";
/// What comes before the checksum's digits.
const PREFIX: &str = "{\"sum\":\"";
/// What comes between the checksum's digits and the members.
const SEPARATOR: &str = "\",";

/// A line's checksum, which the next line's covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum([u8; 16]);

impl Sum {
    fn over(previous: Sum, body: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&previous.0);
        hasher.update(body.as_bytes());
        let mut sum = [0; 16];
        hasher.finalize_xof().fill(&mut sum);
        Self(sum)
    }

    fn hex(self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::with_capacity(32), |mut text, byte| {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Why a line isn't accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsealed {
    /// It doesn't begin as a line of a journal does.
    Shape,
    /// The checksum is of something else.
    Sum,
}

/// Seals `body`, a JSON object with at least one member and no line feed: the line with its line feed, and its
/// checksum.
pub(crate) fn seal(previous: Sum, body: &str) -> (String, Sum) {
    debug_assert!(body.starts_with("{\"") && !body.contains('\n'));
    let sum = Sum::over(previous, body);
    (format!("{PREFIX}{}{SEPARATOR}{}\n", sum.hex(), &body[1..]), sum)
}

/// The body that was sealed, from a line without its line feed.
pub(crate) fn unseal(previous: Sum, line: &str) -> Result<(String, Sum), Unsealed> {
    let rest = line.strip_prefix(PREFIX).ok_or(Unsealed::Shape)?;
    let (digits, members) = rest.split_once(SEPARATOR).ok_or(Unsealed::Shape)?;
    let body = format!("{{{members}");
    let sum = Sum::over(previous, &body);
    if digits == sum.hex() { Ok((body, sum)) } else { Err(Unsealed::Sum) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_verifies_only_after_the_line_it_was_sealed_behind() {
        let (first, one) = seal(Sum::default(), "{\"a\":1}");
        let (second, _) = seal(one, "{\"a\":2}");
        assert!(unseal(Sum::default(), first.trim_end()).is_ok());
        assert!(unseal(one, second.trim_end()).is_ok());
        assert_eq!(unseal(Sum::default(), second.trim_end()), Err(Unsealed::Sum));
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_unsealed_unchanged(value in "[^\\x00-\\x1f\"\\\\]*", previous in any::<[u8; 16]>()) {
            let body = format!("{{\"v\":\"{value}\"}}");
            let (line, sum) = seal(Sum(previous), &body);
            let (back, again) = unseal(Sum(previous), line.strip_suffix('\n').expect("sealed with a line feed")).expect("just sealed");
            prop_assert_eq!(back, body);
            prop_assert_eq!(again, sum);
        }
    }
}
