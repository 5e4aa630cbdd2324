//! `measure` of every image, into layouts of every kind.

use stillpoint_qcow2::AnyFile;
use stillpoint_qcow2::map::{GuestMap, MapOptions};
use stillpoint_qcow2::measure::{Layout, Measure};
use stillpoint_qcow2::tables::{ClusterSize, Version};
use stillpoint_testkit::image::matrix::Compat;

use super::{chain, matrix, qemu_img_says};

/// A layout, and the options that make qemu-img take it.
fn layouts() -> Vec<(String, Layout)> {
    let mut layouts = vec![(String::new(), Layout::default())];
    for (number, bits) in (9..=21).enumerate() {
        let refcount_bits = 1 << (number % 7);
        let extended_l2 = bits >= 14 && number % 2 == 0;
        let preallocated = number % 5 == 0;
        let layout = Layout {
            cluster_size: ClusterSize::from_bits(bits).expect("it is allowed"),
            refcount_bits,
            extended_l2,
            preallocated,
            ..Layout::default()
        };
        let options = format!(
            "cluster_size={},refcount_bits={refcount_bits},extended_l2={},preallocation={}",
            1 << bits,
            if extended_l2 { "on" } else { "off" },
            if preallocated { "full" } else { "metadata" },
        );
        layouts.push((options, layout));
    }
    let v2 = Layout {
        version: Version::V2,
        cluster_size: ClusterSize::from_bits(12).expect("it is allowed"),
        ..Layout::default()
    };
    layouts.push(("compat=0.10,cluster_size=4k".to_owned(), v2));
    layouts
}

#[test]
fn every_image_measures_the_same_in_json_and_text() {
    let Some(matrix) = matrix() else { return };
    let layouts = layouts();
    for (number, image) in matrix.images().iter().enumerate() {
        let chain = chain(matrix, image);
        let map = GuestMap::open(&chain, &AnyFile, &MapOptions::default()).expect("it is sound");
        let bitmaps = chain.layers()[0].image().expect("an image").bitmaps().expect("they are sound");
        // Version 2 can't have any, and nothing is told of them.
        let bitmaps = (image.features.compat == Compat::V3).then_some(&bitmaps[..]);
        // Every layout for some image, and for every image the usual one and another.
        for (options, layout) in [&layouts[0], &layouts[1 + number % (layouts.len() - 1)]] {
            let ours = Measure::of_extents(map.size(), map.extents(), bitmaps, layout);
            let ours = ours.expect("it is sound").expect("it can be");
            let mut arguments = vec!["measure", "-U", "-O", "qcow2"];
            if !options.is_empty() {
                arguments.extend(["-o", options]);
            }
            assert_eq!(
                ours.to_text(),
                qemu_img_says(matrix, &arguments, image),
                "{options}\n{}",
                image.script()
            );
            arguments.push("--output=json");
            let theirs = qemu_img_says(matrix, &arguments, image);
            assert_eq!(format!("{}\n", ours.to_json()), theirs, "{options}\n{}", image.script());
            let read: Measure = serde_json::from_str(&theirs).expect("their JSON reads into the model");
            assert_eq!(read, ours);
        }
    }
}
