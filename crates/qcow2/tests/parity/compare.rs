//! `compare` of every image with itself, with a raw copy, and with others: the same words and the same exit code.

use stillpoint_qcow2::compare::{CompareOptions, Event, verdict};
use stillpoint_qcow2::{AnyFile, Chain, DiskOptions, GuestView};
use stillpoint_testkit::image::matrix::{Encryption, Matrix, MatrixImage};
use stillpoint_testkit::image::oracle::QemuImg;

use super::{chain, matrix};

fn view(chain: &Chain) -> GuestView {
    GuestView::open(chain, None, &AnyFile, &DiskOptions::default()).expect("it keeps the rules")
}

fn ours(first: &GuestView, second: &GuestView, strict: bool) -> (String, Option<i32>) {
    let mut said = String::new();
    let mut tell = |event| {
        if event == Event::SizesDiffer {
            said.push_str("Warning: Image size mismatch!\n");
        }
    };
    let found = verdict(first, second, strict, &CompareOptions::default(), &mut tell);
    let found = found.expect("all can be read");
    (format!("{said}{found}\n"), Some(i32::from(found.exit_code())))
}

fn theirs(matrix: &Matrix, first: &str, second: &str, strict: bool) -> (String, Option<i32>) {
    let arguments = ["compare", "-U"].into_iter().chain(strict.then_some("-s")).chain([first, second]);
    let output = QemuImg::at(matrix.directory()).run(arguments);
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

#[test]
fn every_image_compares_as_qemu_img_has_it() {
    let Some(matrix) = matrix() else { return };
    let images: Vec<&MatrixImage> =
        matrix.images().iter().filter(|image| image.features.encryption == Encryption::None).collect();
    let chains: Vec<Chain> = images.iter().map(|image| chain(matrix, image)).collect();
    let views: Vec<GuestView> = chains.iter().map(view).collect();
    let mut compared = [0; 4];
    for (index, (image, first)) in images.iter().zip(&views).enumerate() {
        let others = [index, (index + 1) % images.len(), (index * 7 + 13) % images.len()];
        for (number, &other) in others.iter().enumerate() {
            // Each image in both modes, each pair in one.
            let strict = (index + number) % 2 == 0;
            let (said, code) = ours(first, &views[other], strict);
            let expected = theirs(matrix, &image.name, &images[other].name, strict);
            let scripts = || format!("{}\n{}", image.script(), images[other].script());
            assert_eq!((&said, code), (&expected.0, expected.1), "strict {strict}\n{}", scripts());
            let words = ["identical", "size mismatch", "status mismatch", "Content mismatch"];
            for (count, word) in compared.iter_mut().zip(words) {
                *count += usize::from(said.contains(word));
            }
        }
    }
    println!("identical, sizes, status, content: {compared:?}");
    assert!(compared.iter().all(|&count| count > 5), "too few of a kind: {compared:?}");
}

/// Encrypted images are named by options to qemu-img, both at once.
#[cfg(feature = "luks")]
#[test]
fn encrypted_images_compare_as_qemu_img_has_it() {
    use stillpoint_qcow2::luks::{Keyring, Passphrase};
    use stillpoint_testkit::image::matrix::PASSPHRASE;

    let Some(matrix) = matrix() else { return };
    let keys = Keyring::new([Passphrase::new(PASSPHRASE)]);
    let options = DiskOptions::default().keys(&keys);
    let luks =
        |image: &&MatrixImage| matches!(image.features.encryption, Encryption::Luks | Encryption::LuksEssiv);
    let images: Vec<&MatrixImage> = matrix.images().iter().filter(luks).collect();
    let chains: Vec<Chain> = images.iter().map(|image| chain(matrix, image)).collect();
    let views: Vec<GuestView> = chains
        .iter()
        .map(|chain| GuestView::open(chain, None, &AnyFile, &options).expect("the passphrase fits"))
        .collect();
    let named =
        |image: &MatrixImage| format!("driver=qcow2,file.filename={},encrypt.key-secret=key", image.name);
    let mut verdicts = std::collections::BTreeSet::new();
    for (index, (image, first)) in images.iter().zip(&views).enumerate() {
        for other in [index, (index + 1) % images.len()] {
            let secret = format!("secret,id=key,data={PASSPHRASE}");
            let (one, two) = (named(image), named(images[other]));
            let arguments = ["compare", "-U", "--object", &secret, "--image-opts", &one, &two];
            let output = QemuImg::at(matrix.directory()).run(arguments);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(ours(first, &views[other], false), (said, output.status.code()), "{}", image.script());
            verdicts.insert(output.status.code());
        }
    }
    assert_eq!(verdicts.len(), 2, "some are the same and some are not");
}
