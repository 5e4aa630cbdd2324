//! The formats as they are on disk: parsed for shape, judged by nobody.

pub mod dump;
pub mod glusterd;
pub mod hash;
pub mod log;
pub mod volfile;
pub mod volume_info;
pub mod xattr;
