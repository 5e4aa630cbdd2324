//! An image in plain words, and whether to let it in.
//!
//! [`Account`] tells what each feature of an image means, what the image refers to outside of itself, and how much
//! care that takes. [`Verdict`] is the answer for a service that is handed images by strangers: safe only where
//! nothing in the image leads outside of it, nothing is unknown, and, given a check, nothing is damaged.
//!
//! ```
//! use stillpoint_qcow2::inspect::{InspectOptions, Outcome, Verdict};
//! # use stillpoint_testkit::image::ImageBuilder;
//! # let image = ImageBuilder::v3().build();
//! # let hostile = ImageBuilder::v3().backing(b"/etc/shadow", Some("raw")).build();
//! let options = InspectOptions::default();
//! assert_eq!(Verdict::of_storage(&image, &options).outcome, Outcome::Safe);
//!
//! // As a stream that can't seek, such as an upload; no more of it is read than it takes to refuse it.
//! let verdict = Verdict::of_stream(&hostile[..], &options)?;
//! assert_eq!(verdict.outcome, Outcome::Unsafe);
//! assert!(verdict.account.to_text().contains("/etc/shadow"));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What is unsafe
//!
//! A backing file or an external data file, whatever it is called (CVE-2015-5163, CVE-2024-32498, CVE-2024-4467); a
//! format that isn't read here, or another than was expected (CVE-2008-2004); a header that breaks a rule, or needs
//! features that nobody knows; a disk larger than [`InspectOptions::max_size`] (CVE-2015-5162); an image that is
//! marked as damaged, or that a [check](crate::check) finds to be. What is merely worth knowing, such as encryption,
//! snapshots or leaked clusters, is told and doesn't make it unsafe.

mod account;
mod features;
mod names;
mod stream;
mod verdict;
mod window;

pub use account::{Account, Care, Statement};
pub use verdict::{InspectOptions, Outcome, Verdict};
