//! The bits of every bitmap: the same ranges as QEMU's NBD server tells. Of an encrypted image QEMU tells them to who has
//! the key; here none is asked for.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use stillpoint_qcow2::DirtyRange;
use stillpoint_qcow2::tables::GuestOffset;
use stillpoint_testkit::image::matrix::{Encryption, Matrix, MatrixImage};
use stillpoint_testkit::image::oracle::available;

use super::{chain, matrix};

/// qemu-nbd, ended when it is dropped.
struct Server(Child);

impl Server {
    fn start(matrix: &Matrix, image: &MatrixImage, bitmap: &str, socket: &Path) -> Self {
        let mut command = Command::new("qemu-nbd");
        command.args(["-r", "-t", "-B", bitmap, "-k"]).arg(socket).args(image.open_arguments());
        command.current_dir(matrix.directory()).stdin(Stdio::null());
        let server = Self(command.spawn().expect("it was found and can be run"));
        let begin = Instant::now();
        // The socket is there before anybody listens at it.
        while UnixStream::connect(socket).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "qemu-nbd doesn't listen\n{}", image.script());
            std::thread::sleep(Duration::from_millis(2));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone, or is going to be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is dirty as qemu-img has it from the server: what has no data.
fn theirs(bitmap: &str, socket: &Path) -> Vec<DirtyRange> {
    let options = format!(
        "driver=nbd,server.type=unix,server.path={},x-dirty-bitmap=qemu:dirty-bitmap:{bitmap}",
        socket.display()
    );
    let output = Command::new("qemu-img")
        .args(["map", "--output=json", "--image-opts", &options])
        .stdin(Stdio::null())
        .output()
        .expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    let extents: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let dirty = extents.iter().filter(|extent| extent["data"] == false);
    let number = |extent: &Value, key: &str| extent[key].as_u64().expect("a number");
    dirty
        .map(|extent| DirtyRange {
            guest: GuestOffset(number(extent, "start")),
            len: number(extent, "length"),
        })
        .collect()
}

#[test]
fn every_bitmap_has_the_same_dirty_ranges() {
    let Some(matrix) = matrix() else { return };
    if !available("qemu-nbd") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a directory");
    let (mut count, mut dirty, mut encrypted) = (0, 0, 0);
    for image in matrix.images() {
        let chain = chain(matrix, image);
        let top = chain.layers()[0].image().expect("it is one");
        let bitmaps = top.bitmaps().expect("they keep the rules");
        for name in &image.bitmaps {
            let bitmap = bitmaps.iter().find(|bitmap| bitmap.name.to_text() == *name).expect("it is there");
            let ours: Result<Vec<_>, _> = top.dirty_ranges(bitmap).expect("it is not in use").collect();
            let ours = ours.unwrap_or_else(|error| panic!("{error}\n{}", image.script()));
            let socket = scratch.path().join(format!("{count}"));
            let server = Server::start(matrix, image, name, &socket);
            assert_eq!(ours, theirs(name, &socket), "{name}\n{}", image.script());
            drop(server);
            count += 1;
            dirty += ours.len();
            if image.features.encryption != Encryption::None {
                assert!(!ours.is_empty(), "there is something to compare\n{}", image.script());
                encrypted += 1;
            }
        }
    }
    println!("compared {count} bitmaps with QEMU's, {dirty} dirty ranges; {encrypted} in encrypted images");
    assert!(count > encrypted && encrypted > 0 && dirty > 0);
}
