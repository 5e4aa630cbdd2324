//! What the header's fields and bits mean (specification, sections "Header" and "Header extensions").

use super::account::Account;
use crate::info::human;
use crate::raw::{Autoclear, Compatible, FeatureKind, Incompatible};
use crate::tables::{Compression, Encryption, Extensions, Header, Version};

/// More iterations of a key's derivation take more than a minute to try a passphrase.
const MANY_ITERATIONS: u32 = 100_000_000;

pub(super) fn version(header: &Header, account: &mut Account) {
    let (number, meaning) = match header.version() {
        Version::V2 => {
            (2, "Any QEMU since 0.10 opens it. It has no feature bits, no zero clusters and no bitmaps.")
        }
        Version::V3 => (3, "Any QEMU since 1.1 opens it, unless a feature below asks for a later one."),
    };
    account.plain(format!("It is a qcow2 image, version {number}"), meaning);
}

pub(super) fn size(header: &Header, account: &mut Account) {
    let (size, cluster) = (header.virtual_size() & !511, header.cluster_size().bytes());
    account.plain(
        format!(
            "The disk has {} ({size} bytes), in clusters of {}; refcounts have {} bits",
            human(size),
            human(cluster),
            header.refcount_bits()
        ),
        "The file grows up to about that size as the disk is written to, and further with snapshots.",
    );
}

pub(super) fn encryption(header: &Header, extensions: &Extensions, account: &mut Account) {
    match header.encryption() {
        Encryption::None => {}
        Encryption::Aes => account.notable(
            "The disk is encrypted with QEMU's own AES method",
            "It is long given up: it protects nothing from who can choose what is written. QEMU opens such images \
             with its tools only.",
        ),
        Encryption::Luks => {
            let Some(luks) = extensions.luks() else { return };
            let active = luks.slots.iter().filter(|slot| slot.active).count();
            account.notable(
                format!(
                    "The disk is encrypted with LUKS: {}-{}-{}, {active} of 8 key slots in use",
                    luks.cipher, luks.mode, luks.ivgen
                ),
                "What it holds can't be looked at without a passphrase. The tables, names and sizes are not encrypted.",
            );
            let most = luks.slots.iter().filter(|slot| slot.active).map(|slot| slot.iterations);
            if let Some(iterations) = most.max().filter(|&iterations| iterations > MANY_ITERATIONS) {
                account.refuse(
                    format!("A key slot asks for {iterations} iterations"),
                    "Trying a passphrase would keep a processor busy for minutes or hours.",
                );
            }
        }
    }
}

pub(super) fn bits(header: &Header, extensions: &Extensions, account: &mut Account) {
    let incompatible = header.incompatible();
    if incompatible.contains(Incompatible::DIRTY) {
        account.notable(
            "The dirty bit is set",
            "The image was not closed, or is open now. Its refcounts may be wrong; who opens it for writing repairs \
             them first. Reading is not affected.",
        );
    }
    if incompatible.contains(Incompatible::CORRUPT) {
        account.refuse(
            "The corrupt bit is set",
            "QEMU found damage when it wrote to the image, and opens it for reading only. Check it, and copy what \
             can be read.",
        );
    }
    if incompatible.contains(Incompatible::EXTENDED_L2) {
        account.plain(
            "Its L2 entries are extended: each cluster has 32 subclusters",
            "Small writes take less space and copying. It takes QEMU 5.2 or later.",
        );
    }
    if header.compression() == Compression::Zstd {
        account.plain("Compressed clusters are of zstd", "It takes QEMU 5.1 or later.");
    }
    let compatible = header.compatible();
    if compatible.contains(Compatible::LAZY_REFCOUNTS) {
        account.plain(
            "Refcounts are lazy",
            "They are brought up to date when the image is closed, and the dirty bit is set until then.",
        );
    }
    unknown(
        compatible.bits() & !Compatible::LAZY_REFCOUNTS.bits(),
        "compatible",
        FeatureKind::Compatible,
        "Who doesn't know such a bit may ignore it.",
        extensions,
        account,
    );
    let known = Autoclear::BITMAPS | Autoclear::DATA_FILE_RAW;
    unknown(
        header.autoclear().bits() & !known.bits(),
        "autoclear",
        FeatureKind::Autoclear,
        "Who doesn't know such a bit clears it when writing.",
        extensions,
        account,
    );
}

fn unknown(
    bits: u64,
    what: &str,
    kind: FeatureKind,
    meaning: &str,
    extensions: &Extensions,
    account: &mut Account,
) {
    let names = extensions.feature_names().unwrap_or_default();
    for bit in (0..64_u8).filter(|bit| bits >> bit & 1 == 1) {
        let name = names.iter().find(|name| name.kind == kind && name.bit == bit);
        let called = name.map(|name| format!(", which the image calls {:?}", name.name)).unwrap_or_default();
        account
            .notable(format!("The {what} feature bit {bit} is set{called}; nothing here knows it"), meaning);
    }
}

pub(super) fn extensions(header: &Header, extensions: &Extensions, account: &mut Account) {
    if extensions.stale_bitmaps() {
        account.notable(
            "It has bitmaps that can't be believed",
            "Something that doesn't know bitmaps wrote to the image. Their clusters count as leaked.",
        );
    }
    if !header.unknown_fields().is_empty() {
        account.notable(
            format!("Its header has {} bytes that nothing here knows", header.unknown_fields().len()),
            "A later version of the format may use them; they may be ignored.",
        );
    }
    for extension in extensions.unknown().iter().take(20) {
        account.notable(
            format!(
                "It has a header extension {:#010x} of {} bytes that nothing here knows",
                extension.magic,
                extension.data.len()
            ),
            "Such an extension may be ignored, and is kept by who rewrites the header.",
        );
    }
    if let Some(more) = extensions.unknown().len().checked_sub(20).filter(|&more| more > 0) {
        account.notable(format!("{more} more header extensions are not known"), "They may be ignored.");
    }
}
