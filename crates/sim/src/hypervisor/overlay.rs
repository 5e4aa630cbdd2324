//! Empty qcow2 images over a base, by QEMU's `docs/interop/qcow2.txt`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

const CLUSTER: usize = 1 << 16;

/// Makes an image that holds nothing and backs onto `base`. Fails when the file exists and isn't empty.
pub(super) fn create(path: &Path, base: &Path, base_format: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() > 0) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let size = virtual_size(base)?;
    // Header; refcount table; one refcount block; L1 table. L2 entries of 8 bytes fill one cluster each.
    let covered_by_l1_entry = (CLUSTER as u64 / 8) * CLUSTER as u64;
    let l1_entries = size.div_ceil(covered_by_l1_entry).clamp(1, CLUSTER as u64 / 8) as u32;
    let mut image = vec![0; 4 * CLUSTER];
    let mut header = Vec::new();
    let name = base.as_os_str().as_encoded_bytes();
    let mut extensions = Vec::new();
    extension(&mut extensions, 0xe279_2aca, base_format.as_bytes());
    extension(&mut extensions, 0, b"");
    let name_at = 104 + extensions.len();
    header.extend(b"QFI\xfb");
    header.extend(3u32.to_be_bytes());
    header.extend((name_at as u64).to_be_bytes());
    header.extend((name.len() as u32).to_be_bytes());
    header.extend(16u32.to_be_bytes());
    header.extend(size.to_be_bytes());
    header.extend(0u32.to_be_bytes());
    header.extend(l1_entries.to_be_bytes());
    header.extend((3 * CLUSTER as u64).to_be_bytes());
    header.extend((CLUSTER as u64).to_be_bytes());
    header.extend(1u32.to_be_bytes());
    header.extend([0; 4 + 8 + 8 + 8 + 8]);
    header.extend(4u32.to_be_bytes());
    header.extend(104u32.to_be_bytes());
    debug_assert_eq!(header.len(), 104);
    header.extend(extensions);
    header.extend(name);
    if header.len() > CLUSTER {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the base's name is too long"));
    }
    image[..header.len()].copy_from_slice(&header);
    image[CLUSTER..CLUSTER + 8].copy_from_slice(&(2 * CLUSTER as u64).to_be_bytes());
    for cluster in 0..4 {
        let at = 2 * CLUSTER + 2 * cluster;
        image[at..at + 2].copy_from_slice(&1u16.to_be_bytes());
    }
    File::create(path)?.write_all(&image)
}

fn extension(out: &mut Vec<u8>, kind: u32, data: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// A qcow2 image's virtual size, or any other file's length, in whole sectors as QEMU counts it.
pub(super) fn virtual_size(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(32).read_to_end(&mut head)?;
    match (head.strip_prefix(b"QFI\xfb"), head.get(24..32).map(TryInto::try_into)) {
        (Some(_), Some(Ok(size))) => Ok(u64::from_be_bytes(size)),
        _ => Ok(file.metadata()?.len().next_multiple_of(512)),
    }
}
