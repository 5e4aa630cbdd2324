//! What format a file is in.

use std::fmt;

use stillpoint_storage::Storage;

use crate::raw::{LUKS_MAGIC, MAGIC};
use crate::tables::HeaderArea;
use crate::{Error, Name};

/// A format that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// qcow2, version 2 or 3.
    Qcow2,
    /// The bytes of the disk as they are.
    Raw,
}

impl Format {
    /// The name that QEMU has for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }

    /// The format of that name.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`] when it isn't read here.
    pub fn from_name(name: &Name) -> Result<Self, Error> {
        match name.as_bytes() {
            b"qcow2" => Ok(Self::Qcow2),
            b"raw" => Ok(Self::Raw),
            _ => Err(Error::UnknownFormat(name.clone())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Other formats that begin with fixed bytes, by the name that QEMU has for them.
const OTHERS: [(usize, &[u8], &str); 12] = [
    (0, b"QFI\xfb\0\0\0\x01", "qcow"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"QED\0", "qed"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0, &LUKS_MAGIC, "luks"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"Bochs Virtual HD Image\0", "bochs"),
];

/// Finds out the format by the first bytes, as QEMU does when it isn't told: qcow2 by its magic, else raw.
///
/// Never do this with a disk that a guest could write to as raw: it can make itself look like any format
/// (CVE-2008-2004). [`ChainOptions`](crate::ChainOptions) therefore doesn't, unless asked to.
///
/// # Errors
/// [`Error::OtherFormat`] when the bytes are those of a format that is neither, and when they can't be read.
pub fn detect<S: Storage + ?Sized>(storage: &S) -> Result<Format, Error> {
    let area = HeaderArea::read(storage)?;
    let head = area.head();
    for (at, magic, name) in OTHERS {
        if head.get(at..).is_some_and(|rest| rest.starts_with(magic)) {
            return Err(Error::OtherFormat(name));
        }
    }
    Ok(if head.starts_with(&MAGIC) { Format::Qcow2 } else { Format::Raw })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_of_neither_kind_is_refused_by_name() {
        let mut vdi = vec![0; 512];
        vdi[0x40..0x44].copy_from_slice(b"\x7f\x10\xda\xbe");
        assert!(matches!(detect(&vdi[..]), Err(Error::OtherFormat("vdi"))));
        assert!(matches!(detect(&b"KDMV"[..]), Err(Error::OtherFormat("vmdk"))));
        assert!(matches!(detect(&b"LUKS\xba\xbe\0\x02"[..]), Err(Error::OtherFormat("luks"))));
    }

    #[test]
    fn anything_else_is_raw_even_nothing() {
        assert!(matches!(detect(&b""[..]), Ok(Format::Raw)));
        assert!(matches!(detect(&b"QFI"[..]), Ok(Format::Raw)));
        assert!(matches!(detect(&b"QFI\xfb"[..]), Ok(Format::Qcow2)));
    }
}
