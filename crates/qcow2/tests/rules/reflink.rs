//! Extracting on a file system where files can share blocks, a real XFS: what can be shared is, whatever the clusters
//! and lengths are, and the bytes are qemu-img's.

use stillpoint_qcow2::extract::{ExtractOptions, extract};
use stillpoint_qcow2::map::MapExtent;
use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, DiskOptions, Format, GuestView, Source};
use stillpoint_testkit::image::oracle::{QemuImg, available};
use stillpoint_testkit::xfs::{HostExtent, Xfs};

use crate::extract::go_on;
use crate::plans::difference;

/// A block of the file system.
const BLOCK: u64 = 4096;

/// Options of `qemu-img create`, and sizes: of whole clusters, of whole blocks, and of neither.
const IMAGES: [(&str, u64); 5] = [
    ("cluster_size=64k", 6 << 20),
    ("cluster_size=64k", (6 << 20) + 3 * 512),
    ("cluster_size=2M", (8 << 20) + 4096),
    ("cluster_size=512", (2 << 20) + 512),
    ("cluster_size=16k,extended_l2=on", 4 << 20),
];

fn view(chain: &Chain) -> GuestView {
    GuestView::open(chain, None, &AnyFile, &DiskOptions::default()).expect("it keeps the rules")
}

fn chain(xfs: &Xfs, name: &str, format: Format) -> Chain {
    let source = Source::open(xfs.path().join(name)).expect("it is there");
    Chain::open(source, Some(format), &AnyFile, &ChainOptions::default()).expect("it keeps the rules")
}

/// Data of the disk that lies in the image as it is.
fn plain(view: &GuestView) -> Vec<(MapExtent, u64)> {
    let extents = view.map().extents().map(|extent| extent.expect("it keeps the rules"));
    extents
        .filter(|extent| extent.data && !extent.zero)
        .filter_map(|extent| Some((extent, extent.offset?)))
        .collect()
}

/// What was copied as it is: from where in the image to where in the new file, and how much.
fn copied(image: &GuestView, new: &GuestView, options: &ExtractOptions) -> Vec<(u64, u64, u64)> {
    if options.format == Format::Raw {
        return plain(image).into_iter().map(|(extent, from)| (from, extent.start, extent.length)).collect();
    }
    // Clusters of the new image that are not wholly in one place are put together.
    let cluster = 1 << options.cluster_bits;
    let mut copied = Vec::new();
    for (extent, from) in plain(image) {
        let (start, end) = (extent.start.next_multiple_of(cluster), extent.end() / cluster * cluster);
        for part in new.map().extents_in(start, end.saturating_sub(start)) {
            let part = part.expect("it was just made");
            let to = part.offset.expect("it is stored as it is");
            copied.push((from + (part.start - extent.start), to, part.length));
        }
    }
    copied
}

/// Where a block of a file is on the device, and whether other files have it too. `None` where it is a hole.
fn block(extents: &[HostExtent], offset: u64) -> Option<(u64, bool)> {
    let extent = extents.iter().find(|extent| (extent.offset..extent.offset + extent.len).contains(&offset));
    extent.map(|extent| (extent.physical + (offset - extent.offset), extent.shared))
}

/// Sees to it that every whole block of what was copied is the image's own block, where both begin at the same place of a
/// block. Tells how many bytes these are.
fn shared(pieces: &[(u64, u64, u64)], image: &[HostExtent], new: &[HostExtent]) -> u64 {
    let mut bytes = 0;
    for &(from, to, len) in pieces.iter().filter(|(from, to, _)| from % BLOCK == to % BLOCK) {
        let first = to.next_multiple_of(BLOCK);
        for at in (first..).step_by(BLOCK as usize).take_while(|at| at + BLOCK <= to + len) {
            let (theirs, ours) = (block(image, from + (at - to)), block(new, at));
            assert_eq!(ours, theirs, "{len} bytes from {from} to {to}, at {at}");
            if let Some((_, shared)) = ours {
                assert!(shared, "{len} bytes from {from} to {to}, at {at}");
                bytes += BLOCK;
            }
        }
    }
    bytes
}

#[test]
fn whole_blocks_are_shared_and_all_bytes_are_those_that_qemu_img_has() {
    let Some(xfs) = Xfs::mount() else { return };
    let Some(qemu_img) = QemuImg::find(xfs.path()).filter(|_| available("qemu-io")) else { return };
    for (number, (options, size)) in IMAGES.into_iter().enumerate() {
        let image = format!("{number}.qcow2");
        qemu_img.create(&image, options, &size.to_string());
        let tail = size - 70_144;
        // In an order that is not the disk's, with a part in the middle of clusters, and up to the last sector.
        let writes =
            ["write -P 1 1M 700k", "write -P 2 0 513k", "write -P 3 1835008 3584", "write -P 4 600064 1536"];
        let last = format!("write -P 5 {tail} {}", size - tail);
        let commands: Vec<&str> = writes.into_iter().chain([&last[..]]).collect();
        qemu_img.io(&["-f", "qcow2", &image], &commands);
        qemu_img.output(["convert", "-f", "qcow2", "-O", "raw", &image, "theirs"]);
        let expected = std::fs::read(xfs.path().join("theirs")).expect("it was made");

        let raw = ExtractOptions::default().overwrite(true);
        let qcow2 = raw.clone().format(Format::Qcow2);
        for (way, options) in [raw, qcow2.clone().cluster_bits(12), qcow2.clone(), qcow2.cluster_bits(9)]
            .into_iter()
            .enumerate()
        {
            let opened = chain(&xfs, &image, Format::Qcow2);
            let view = view(&opened);
            let before = xfs.used();
            let new_name = format!("{number}.{way}");
            let done =
                extract(&view, &xfs.path().join(&new_name), &options, &go_on).expect("it can be extracted");
            let grown = xfs.used().saturating_sub(before);

            let new = chain(&xfs, &new_name, options.format);
            let pieces = copied(&view, &self::view(&new), &options);
            let bytes = shared(&pieces, &xfs.extents(&image), &xfs.extents(&new_name));
            println!("{image} to {options:?}: {bytes} bytes shared, {grown} more in use, {done:?}");
            // Of clusters of 512 bytes one in eight begins where a block does, now and then.
            let whole = number != 3 && options.cluster_bits >= 12;
            assert!(!whole || bytes > 1_000_000, "only {bytes} bytes are shared");
            assert!(!whole || grown < bytes / 2, "{bytes} bytes are shared, and {grown} more are in use");
            assert!(done.by_kernel >= bytes, "{done:?}");

            qemu_img.output(["convert", "-f", options.format.name(), "-O", "raw", &new_name, "ours"]);
            let ours = std::fs::read(xfs.path().join("ours")).expect("it was made");
            assert_eq!(difference(&ours, &expected), None, "{image} {options:?}");
            if options.format == Format::Qcow2 {
                qemu_img.output(["check", "-q", "-f", "qcow2", &new_name]);
            }
        }
    }
}
