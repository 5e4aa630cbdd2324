//! What the guest says on its serial console.

/// The lines since the last boot.
fn since_boot(text: &str) -> &str {
    text.rfind("GUEST-BOOT").and_then(|at| text.get(at..)).unwrap_or_default()
}

/// How often the guest has booted.
pub(crate) fn boots(text: &str) -> usize {
    text.matches("GUEST-BOOT\n").count()
}

/// The last round that the guest has on disk and has told of, since its last boot.
pub(crate) fn counter(text: &str) -> Option<u64> {
    // A line that is still being written has no end yet.
    let whole = since_boot(text).rsplit_once('\n')?.0;
    whole.lines().rev().find_map(|line| line.strip_prefix("GUEST-COUNT ")?.trim().parse().ok())
}

/// One disk's check at the guest's last boot.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BootCheck {
    /// The disk, if the line names it.
    pub disk: String,
    /// Whether every file was there and fitted its checksum.
    pub ok: bool,
    /// The guest's own words.
    pub line: String,
}

/// The checks that the guest made at its last boot.
pub(crate) fn boot_checks(text: &str) -> Vec<BootCheck> {
    let lines = since_boot(text).lines().filter_map(|line| {
        let words = line.trim().strip_prefix("GUEST-CHECK ")?;
        let disk = words.split(' ').find_map(|word| word.strip_prefix("disk=")).unwrap_or_default();
        Some(BootCheck { disk: disk.to_owned(), ok: words.starts_with("OK "), line: words.to_owned() })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "noise\nGUEST-BOOT\nGUEST-CHECK OK disk=vda counter=0 files=0\nGUEST-COUNT 1\nGUEST-COUNT 2\n\
                        GUEST-BOOT\nGUEST-CHECK BAD disk=vda counter=2 mismatch=1.sum\nGUEST-COUNT 3\nGUEST-COUNT 4";

    #[test]
    fn a_line_being_written_does_not_count() {
        assert_eq!(counter(TEXT), Some(3));
        assert_eq!(counter(&format!("{TEXT}2\n")), Some(42));
    }

    #[test]
    fn only_the_last_boot_is_looked_at() {
        let checks = boot_checks(TEXT);
        assert_eq!(checks.len(), 1);
        assert!(!checks[0].ok);
        assert_eq!(checks[0].disk, "vda");
        assert_eq!(counter("GUEST-COUNT 7\nGUEST-BOOT\n"), None);
    }
}
