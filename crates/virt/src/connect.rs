//! Choosing a backend.

use std::str::FromStr;

use crate::{Error, Hypervisor, Virsh};

/// Which backend to connect with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendChoice {
    /// The C library where it is compiled in, else `virsh`.
    #[default]
    Auto,
    /// The program `virsh`.
    Virsh,
    /// Libvirt's C library (feature `libvirt`).
    Libvirt,
}

impl FromStr for BackendChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "virsh" => Ok(Self::Virsh),
            "libvirt" => Ok(Self::Libvirt),
            other => Err(format!("no backend {other:?}: use auto, virsh or libvirt")),
        }
    }
}

/// Connects to the hypervisor at `uri`, such as `qemu:///system`.
///
/// # Errors
/// When it can't be reached, or the backend is not compiled in.
pub fn connect(choice: BackendChoice, uri: &str) -> Result<Box<dyn Hypervisor>, Error> {
    match choice {
        BackendChoice::Virsh => Ok(Box::new(Virsh::connect(uri)?)),
        #[cfg(feature = "libvirt")]
        BackendChoice::Auto | BackendChoice::Libvirt => Ok(Box::new(crate::Libvirt::connect(uri)?)),
        #[cfg(not(feature = "libvirt"))]
        BackendChoice::Auto => Ok(Box::new(Virsh::connect(uri)?)),
        #[cfg(not(feature = "libvirt"))]
        BackendChoice::Libvirt => Err(Error::BackendMissing),
    }
}
