//! Sizes as QEMU prints them for people.

const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// `bytes` with three significant digits and a binary unit, as in `1.5 GiB`. From 1000 on the next unit is taken.
pub(crate) fn human(bytes: u64) -> String {
    // The unit is that of the number times 1024/1000, so that 1000 KiB become 0.977 MiB.
    let scaled = bytes as f64 / (1000.0 / 1024.0);
    let log2 = if bytes == 0 { 0 } else { (scaled.to_bits() >> 52 & 0x7ff).saturating_sub(1023) };
    let unit = usize::try_from(log2 / 10).unwrap_or(0).min(UNITS.len() - 1);
    let divisor = (1_u64 << (unit * 10)) as f64;
    format!("{} {}B", three_digits(bytes as f64 / divisor), UNITS[unit])
}

/// C's `%0.3g` of a number from 0 to 1024.
fn three_digits(number: f64) -> String {
    let scientific = format!("{number:.2e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..3).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(2 - exponent).unwrap_or(0);
    without_zeros(&format!("{number:.decimals$}")).to_owned()
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_as_qemu_img_10_printed_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (1, "1 B"),
            (999, "999 B"),
            (1000, "0.977 KiB"),
            (1023, "0.999 KiB"),
            (1024, "1 KiB"),
            (1025, "1 KiB"),
            (10230, "9.99 KiB"),
            (1023 * 1024, "0.999 MiB"),
            (1_023_488, "1e+03 KiB"),
            (1 << 20, "1 MiB"),
            (1 << 30, "1 GiB"),
            ((1 << 40) - 1, "1 TiB"),
            (1 << 50, "1 PiB"),
            (1 << 60, "1 EiB"),
            (1 << 63, "8 EiB"),
            (u64::MAX, "16 EiB"),
            (1152, "1.12 KiB"),
            (1408, "1.38 KiB"),
        ] {
            assert_eq!(human(bytes), text, "{bytes}");
        }
    }
}
