//! Bitmaps, their extension and directory.

use stillpoint_testkit::image::{BitmapSpec, extension, offset};

use super::Expect::{Opens, Refused, RefusedHere};
use super::{Cases, v3};

pub(super) fn add(cases: &mut Cases) {
    let constraint = || Refused("Bitmap 'bm' doesn't satisfy the constraints");
    let one = |change: fn(&mut BitmapSpec)| {
        let mut bitmap = BitmapSpec::new("bm");
        change(&mut bitmap);
        v3().bitmap(bitmap)
    };
    cases.add("a bitmap", &one(|_| ()), Opens);
    cases.add("granularity of 2^8", &one(|b| b.granularity_bits = 8), constraint());
    cases.add("granularity of 2^9", &one(|b| b.granularity_bits = 9), Opens);
    cases.add("granularity of 2^31", &one(|b| b.granularity_bits = 31), Opens);
    cases.add("granularity of 2^32", &one(|b| b.granularity_bits = 32), constraint());
    cases.add("granularity of 2^255", &one(|b| b.granularity_bits = 255), constraint());
    cases.add("type 0", &one(|b| b.kind = 0), constraint());
    cases.add("type 2", &one(|b| b.kind = 2), constraint());
    cases.add("no flags", &one(|b| b.flags = 0), Opens);
    cases.add("flags in use and auto", &one(|b| b.flags = 3), Opens);
    cases.add("flag 4 without extra data", &one(|b| b.flags = 4), constraint());
    cases.add("flag 8", &one(|b| b.flags = 8), constraint());
    let extra = || Refused("Bitmap extra data is not supported");
    cases.add("extra data", &one(|b| b.extra = vec![0; 8]), extra());
    cases.add(
        "extra data that may be ignored",
        &one(|b| {
            b.extra = vec![0; 8];
            b.flags = 4;
        }),
        extra(),
    );
    cases.add("a name of 1023 bytes", &one(|b| b.name = vec![b'n'; 1023]), Opens);
    cases.add("a name of 1024 bytes", &one(|b| b.name = vec![b'n'; 1024]), RefusedHere);
    cases.add("an empty name", &one(|b| b.name.clear()), Opens);
    cases.add("no table", &one(|b| b.table_size = Some(0)), constraint());
    cases.add("a table too large by far", &one(|b| b.table_size = Some(0x800_0001)), constraint());
    cases.add("a table that is too long", &one(|b| b.table_size = Some(2)), RefusedHere);
    // 512 MiB of bits are 8192 clusters.
    cases.add(
        "in use, of 512 MiB",
        &one(|b| {
            b.table_size = Some(8192);
            b.flags = 1;
        }),
        Opens,
    );
    cases.add(
        "in use, past 512 MiB",
        &one(|b| {
            b.table_size = Some(8193);
            b.flags = 1;
        }),
        constraint(),
    );
    cases.add("a table nowhere", &one(|b| b.table_offset = Some(0)), constraint());
    cases.add("a table that is not aligned", &one(|b| b.table_offset = Some(0x10200)), constraint());
    let twice = v3().bitmap(BitmapSpec::new("bm")).bitmap(BitmapSpec::new("bm"));
    cases.add("two of one name", &twice, Refused("Bitmap already exists: bm"));
    bitmap_extension(cases);
}

fn bitmap_extension(cases: &mut Cases) {
    // The extension's data begins at byte 120; a directory entry of "bm" has 32 bytes.
    let one = v3().bitmap(BitmapSpec::new("bm"));
    let counts = [
        (0, Refused("found bitmaps extension with zero bitmaps")),
        (2, Refused("Less bitmaps found than specified in header extension")),
        (65535, Refused("Less bitmaps found than specified in header extension")),
        (
            65536,
            Refused("bitmaps_ext: Image has 65536 bitmaps, exceeding the QEMU supported maximum of 65535"),
        ),
    ];
    cases.u32s("number of bitmaps", &one, 120, &counts);
    cases.u32s("reserved field", &one, 124, &[(1, Refused("bitmaps_ext: Reserved field is not zero"))]);
    let too_large =
        "bitmaps_ext: bitmap directory size (67107841) exceeds the maximum supported size (67107840)";
    let sizes = [
        (0, Refused("Requested bitmap directory size is zero")),
        (31, Refused("Broken bitmap directory")),
        (33, Refused("Broken bitmap directory")),
        (1024 * 65535, RefusedHere),
        (1024 * 65535 + 1, Refused(too_large)),
    ];
    cases.u64s("directory size", &one, 128, &sizes);
    let offsets =
        [(0x10200, Refused("bitmaps_ext: invalid bitmap directory offset")), (1 << 40, RefusedHere)];
    cases.u64s("directory offset", &one, 136, &offsets);
    let second = v3().bitmap(BitmapSpec::new("bm")).bitmap(BitmapSpec::new("cm"));
    let more = [(1, Refused("More bitmaps found than specified in header extension"))];
    cases.u32s("number of two bitmaps", &second, 120, &more);
    for len in [23, 25] {
        let image = v3().extension(extension::BITMAPS, &vec![0; len]).autoclear(1);
        let refused = Refused("bitmaps_ext: Invalid extension length");
        cases.add(&format!("a bitmaps extension of {len} bytes"), &image, refused);
    }
    let ignored = one.clone().patch_u64(offset::AUTOCLEAR, 0).patch_u32(124, 1);
    cases.add("a broken extension that is not believed", &ignored, Opens);
}
