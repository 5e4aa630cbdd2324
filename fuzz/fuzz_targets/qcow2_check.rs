//! Checks and verdicts of sound images by choice, and of the same damaged: a sound one is found sound, nothing panics,
//! nothing that is found goes uncounted, and where no data is said to be lost, all of the disk can be mapped.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stillpoint_qcow2::check::{CheckOptions, CheckReport, Class, Consequence, Finding, L2Fault, Scope};
use stillpoint_qcow2::inspect::{InspectOptions, Outcome, Verdict};
use stillpoint_qcow2::map::{GuestMap, MapOptions};
use stillpoint_qcow2::{Chain, ChainOptions, DenyAll, Format, Source};
use stillpoint_testkit::image::plan::Plan;

#[derive(Debug, Arbitrary)]
struct Input {
    plan: Vec<u8>,
    /// Put over the image: where (folded into its length), and what.
    patches: Vec<(u32, Patch)>,
    cut: Option<u32>,
}

#[derive(Debug, Arbitrary)]
enum Patch {
    Word(u64),
    /// An offset in the file (folded into its length and a bit more), with the flags of an entry.
    Entry(u32, u8),
    Bit(u8),
}

impl Input {
    fn damage(&self, bytes: &mut Vec<u8>) {
        for (at, patch) in self.patches.iter().take(8) {
            let at = *at as usize % (bytes.len() - 8) / 8 * 8;
            let old = u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
            let word = match patch {
                Patch::Word(word) => *word,
                Patch::Bit(bit) => old ^ 1 << (bit % 64),
                Patch::Entry(offset, flags) => {
                    let offset = u64::from(*offset) % (bytes.len() as u64 + 8192) & !511;
                    offset | u64::from(flags & 3) << 62 | u64::from(flags >> 2 & 1)
                }
            };
            bytes[at..at + 8].copy_from_slice(&word.to_be_bytes());
        }
        if let Some(len) = self.cut {
            bytes.truncate(len as usize % bytes.len());
        }
    }
}

fn check(bytes: &[u8], scope: Scope) -> Option<CheckReport> {
    let options = CheckOptions::default().scope(scope).max_findings(200);
    let report = CheckReport::gather(bytes, &options).ok()?;
    let counted = [report.corruptions, report.leaks, report.check_errors, report.notes];
    let counted = counted.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    assert_eq!(counted, report.findings.len() as u64 + report.unlisted);
    for finding in &report.findings {
        assert!(!finding.to_string().is_empty());
        let told = finding.qemu_text().is_some();
        assert_eq!(told, finding.class() != Class::Note, "{finding:?}");
    }
    assert!(!report.to_text().is_empty() && report.to_json("image").ends_with('}'));
    Some(report)
}

/// Whether the map may refuse what is found: it is one entry, or none can be relied on.
fn may_not_map(finding: &Finding) -> bool {
    let unmapped = matches!(finding, Finding::L2 { fault: L2Fault::Unaligned { .. }, .. });
    unmapped || finding.consequence() >= Consequence::LosesData
}

fn maps(bytes: &[u8]) -> Option<bool> {
    let source = Source::new(Arc::new(bytes.to_vec()), "image", None);
    let chain = Chain::open_readable(source, Some(Format::Qcow2), &DenyAll, &ChainOptions::default());
    let (chain, _) = chain.ok()?;
    let map = GuestMap::open(&chain, &DenyAll, &MapOptions::default()).ok()?;
    Some(map.extents().take(20_000).all(|extent| extent.is_ok()))
}

fuzz_target!(|input: Input| {
    let made = Plan::of(&input.plan).make();
    let mut bytes = made.files[0].bytes.clone();
    let sound = input.patches.is_empty() && input.cut.is_none();
    input.damage(&mut bytes);
    let report = check(&bytes, Scope::All);
    let active = check(&bytes, Scope::Active);
    for number in 1..3 {
        check(&bytes, Scope::Snapshot(number.to_string().as_str().into()));
    }
    if sound {
        let report = report.as_ref().expect("a sound image is opened");
        assert!(report.is_sound() && report.findings.is_empty(), "{:?}", report.findings);
    }
    if let Some(report) = active.filter(|report| report.failure.is_none() && report.unlisted == 0)
        && !report.findings.iter().any(may_not_map)
    {
        assert_ne!(maps(&bytes), Some(false), "{:?}", report.findings);
    }
    let options = InspectOptions::default();
    let verdict = Verdict::of_storage(&bytes, &options);
    assert!(!verdict.account.to_text().is_empty());
    if verdict.outcome == Outcome::Safe && bytes.starts_with(b"QFI\xfb") {
        assert!(report.is_some_and(|report| report.corruptions == 0 && report.failure.is_none()));
    }
    let streamed = Verdict::of_stream(&bytes[..], &options).expect("memory can be read");
    assert!(streamed.outcome != Outcome::Safe || verdict.outcome == Outcome::Safe);
});
