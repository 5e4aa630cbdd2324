//! Whatever is taken for a dump of xattrs: no panic, and what was read is read again from its own print.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use stillpoint_shard::raw::dump;

fn escaped(bytes: &[u8]) -> Vec<u8> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"./_-".contains(&byte);
    bytes
        .iter()
        .flat_map(|&byte| if plain(byte) { vec![byte] } else { format!("\\{byte:03o}").into_bytes() })
        .collect()
}

fuzz_target!(|text: &[u8]| {
    let Ok(files) = dump::parse(text) else { return };
    let mut print = Vec::new();
    for (path, xattrs) in &files {
        print.extend_from_slice(b"# file: ");
        print.extend(escaped(path));
        print.push(b'\n');
        for (name, value) in xattrs {
            print.extend(escaped(name.as_bytes()));
            print.extend_from_slice(b"=0x");
            value.iter().for_each(|byte| print.extend_from_slice(format!("{byte:02x}").as_bytes()));
            print.push(b'\n');
        }
    }
    let again = dump::parse(&print).expect("it was printed as getfattr prints");
    assert_eq!(again.iter().collect::<HashMap<_, _>>(), files.iter().collect());
});
