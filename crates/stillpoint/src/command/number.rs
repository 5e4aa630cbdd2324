//! Numbers as qemu-img takes them.

/// What qemu-img says of a number that it doesn't take.
const MOST: u64 = i64::MAX as u64;

/// A number of bytes: decimal, with a fraction before a unit, or hexadecimal; K, M, G, T, P and E are powers of 1024.
/// `what` is what it is for, in qemu-img's words.
pub(crate) fn bytes(what: &str, text: &str) -> Result<u64, String> {
    match parse(text) {
        Some(value) if (0.0..=MOST as f64).contains(&value.approximate) && value.exact <= MOST => {
            Ok(value.exact)
        }
        Some(_) => Err(format!("Invalid {what} specified. Must be between 0 and {MOST}.")),
        None if text.starts_with('-') && parse(&text[1..]).is_some() => {
            Err(format!("Invalid {what} specified. Must be between 0 and {MOST}."))
        }
        None => Err(format!("Invalid {what} specified: '{text}'.")),
    }
}

struct Value {
    exact: u64,
    approximate: f64,
}

fn parse(text: &str) -> Option<Value> {
    if let Some(hex) = text.strip_prefix("0x") {
        let exact = u64::from_str_radix(hex, 16).ok()?;
        return Some(Value { exact, approximate: exact as f64 });
    }
    let (number, shift) = match text.char_indices().next_back() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            let power = "BKMGTPE".find(unit.to_ascii_uppercase())?;
            (&text[..at], power * 10)
        }
        _ => (text, 0),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(number) {
        let exact = number.parse::<u128>().ok()?.checked_mul(1 << shift)?;
        return Some(Value { exact: u64::try_from(exact).unwrap_or(u64::MAX), approximate: exact as f64 });
    }
    // A fraction of a byte can't be.
    let (whole, fraction) = number.split_once('.')?;
    if shift == 0 || !digits(whole) || !(fraction.is_empty() || digits(fraction)) {
        return None;
    }
    let approximate = number.parse::<f64>().ok()? * (1_u64 << shift) as f64;
    Some(Value { exact: approximate as u64, approximate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_qemu_img_reads_them() {
        for (text, value) in
            [("0", 0), ("512", 512), ("4k", 4096), ("1.5M", 3 << 19), ("0x10", 16), ("7E", 7 << 60)]
        {
            assert_eq!(bytes("start offset", text), Ok(value), "{text}");
        }
        for text in ["", "x", "1.5", "1kk", ".5G", "1-"] {
            assert_eq!(
                bytes("start offset", text),
                Err(format!("Invalid start offset specified: '{text}'."))
            );
        }
        for text in ["-1", "8E", "9223372036854775808", "99999999999999999999999"] {
            let expected = "Invalid max length specified. Must be between 0 and 9223372036854775807.";
            assert_eq!(bytes("max length", text), Err(expected.to_owned()), "{text}");
        }
    }
}
