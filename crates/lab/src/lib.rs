//! Two sites of real GlusterFS, libvirt and QEMU on one machine, for demos and end-to-end tests.
#![forbid(unsafe_code)]
