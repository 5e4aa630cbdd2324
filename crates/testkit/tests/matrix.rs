//! The matrix of images: how many there are, and that each is what its recipe says.

use std::collections::HashSet;
use std::process::Command;

use stillpoint_testkit::image::matrix::{Encryption, Matrix};

#[test]
fn qemu_img_finds_every_image_sound_and_as_its_name_says() {
    let Some(matrix) = Matrix::shared(env!("CARGO_TARGET_TMPDIR")) else { return };
    let names: HashSet<_> = matrix.images().iter().map(|image| &image.name).collect();
    assert_eq!(names.len(), matrix.images().len(), "every image has a name of its own");
    assert!(names.len() >= 200, "{}", names.len());
    for image in matrix.images() {
        let mut check = Command::new("qemu-img");
        check.current_dir(matrix.directory()).args(["check", "-U"]).args(image.open_arguments());
        let output = check.output().expect("it can be run");
        assert!(output.status.success(), "{}\n{output:?}", image.script());
        let head = std::fs::read(matrix.path(image)).expect("it is there");
        assert_eq!(u32::from(head[23]), image.features.cluster_bits, "{}", image.name);
        assert_eq!(
            head[35],
            match image.features.encryption {
                Encryption::None => 0,
                Encryption::Aes => 1,
                Encryption::Luks | Encryption::LuksEssiv => 2,
            }
        );
    }
}
