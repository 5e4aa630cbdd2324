//! Parity with QEMU over the matrix of images that qemu-img and qemu-io made with features crossed.
//!
//! Where these programs aren't installed the tests say so and pass; `STILLPOINT_REQUIRE_ORACLES=1` makes them fail.

mod bits;
mod check;
mod compare;
mod info;
mod map;
mod measure;
mod open;
mod read;
mod scan;

use std::process::Output;

use stillpoint_qcow2::{AnyFile, Chain, ChainOptions, Source};
use stillpoint_testkit::image::matrix::{Matrix, MatrixImage};
use stillpoint_testkit::image::oracle::QemuImg;

/// The matrix, or `None` where QEMU isn't installed.
fn matrix() -> Option<&'static Matrix> {
    Matrix::shared(env!("CARGO_TARGET_TMPDIR"))
}

/// Runs qemu-img where the images are.
fn qemu_img(matrix: &Matrix, arguments: &[&str], image: &MatrixImage) -> Output {
    let opened = image.open_arguments();
    QemuImg::at(matrix.directory()).run(arguments.iter().copied().chain(opened.iter().map(String::as_str)))
}

/// What qemu-img prints; it must succeed.
fn qemu_img_says(matrix: &Matrix, arguments: &[&str], image: &MatrixImage) -> String {
    let output = qemu_img(matrix, arguments, image);
    assert!(output.status.success(), "{arguments:?} {output:?}\n{}", image.script());
    String::from_utf8(output.stdout).expect("text")
}

fn chain(matrix: &Matrix, image: &MatrixImage) -> Chain {
    let source = Source::open(matrix.path(image)).expect("it is there");
    let chain = Chain::open(source, None, &AnyFile, &ChainOptions::default());
    chain.unwrap_or_else(|error| panic!("{error:?}\n{}", image.script()))
}
