//! Local time.

use std::ffi::OsStr;
use std::path::Path;

use jiff::tz::TimeZone;

/// The zone of local time: what `TZ` says, `/etc/localtime` where it isn't set, UTC where there is neither.
pub(super) fn zone() -> TimeZone {
    zone_of(std::env::var_os("TZ").as_deref(), Path::new("/etc/localtime"))
}

/// A zone's name isn't needed here, so that the file is read as it is: to find out its name, `TimeZone::system` walks through
/// the whole database, which takes many times longer than all else that is told of an image.
fn zone_of(variable: Option<&OsStr>, localtime: &Path) -> TimeZone {
    let read = || TimeZone::tzif("local", &std::fs::read(localtime).ok()?).ok();
    if variable.is_some() { None } else { read() }.unwrap_or_else(TimeZone::system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_is_what_the_file_says() {
        // RFC 8536: no transition, one type of local time, two hours east.
        let mut file = b"TZif\0".to_vec();
        file.resize(20, 0);
        file.extend([0_u32, 0, 0, 0, 1, 4].map(u32::to_be_bytes).as_flattened());
        file.extend(7200_i32.to_be_bytes());
        file.extend(b"\0\0EET\0");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("localtime");
        std::fs::write(&path, file).unwrap();
        let then = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(zone_of(None, &path).to_offset(then), jiff::tz::offset(2));
        for nothing in [dir.path().join("none"), dir.path().to_owned()] {
            assert_eq!(zone_of(None, &nothing), TimeZone::system());
        }
        assert_eq!(zone_of(Some(OsStr::new("UTC")), &path), TimeZone::system());
    }
}
