//! Mapfiles: any text is read or refused, and what is read is what is written again, before and after marks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_shard::export::{Mapfile, Status};

fuzz_target!(|input: (&str, Vec<(u64, u64, u8)>)| {
    let Ok(mut map) = Mapfile::parse(input.0) else { return };
    let agrees = |map: &Mapfile| {
        let mut end = 0;
        for area in map.areas() {
            assert!(area.offset == end && area.len > 0);
            end += area.len;
        }
        assert_eq!(end, map.total());
        assert_eq!(Mapfile::parse(&map.to_text()).as_ref(), Ok(map));
    };
    agrees(&map);
    for (offset, len, status) in input.1 {
        let status = [Status::Untried, Status::Untrimmed, Status::Unscraped, Status::Bad, Status::Finished]
            [usize::from(status % 5)];
        map.mark(offset, len, status);
        agrees(&map);
    }
});
