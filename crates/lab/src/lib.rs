//! Two sites of real GlusterFS, libvirt and QEMU on one machine, for demos and end-to-end tests.
//!
//! A lab plays both sites of a replicated virtualisation cluster with the real programs, each site in namespaces of
//! its own: site A has a sharded volume with a guest that writes for ever, site B a volume that A's is replicated to.
//! It takes root, Debian 12 or 13, and no hardware virtualisation.
//!
//! ```no_run
//! use std::time::Duration;
//! use stillpoint_lab::{Lab, LabConfig, SiteName};
//!
//! # fn main() -> stillpoint_lab::Result<()> {
//! let lab = Lab::up(&LabConfig::named("mine"))?;
//! println!("{}", lab.site(SiteName::A).gluster(["volume", "info"])?);
//! if let Some(guest) = lab.guest() {
//!     guest.wait_counter_above(10, Duration::from_secs(60))?;
//! }
//! Lab::down("mine")?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything that belongs to a lab carries its instance's name, so labs of different names stand side by side:
//! the network namespaces and interfaces `sp-NAME-a` and `sp-NAME-b`, the directory `/var/lib/stillpoint-lab/NAME`,
//! and one 10.77.x.0/24. Bricks have the same paths on the host and at both sites.
//!
//! A site is not a PID namespace: a command at a site takes the place of `nsenter`, its process id is its own and
//! signals reach it. `down` finds a site's processes by their network namespace, which none of them leaves.
#![forbid(unsafe_code)]

mod bricks;
pub mod cli;
mod config;
mod error;
mod faults;
mod gluster;
mod guest;
mod instance;
mod lab;
mod layout;
mod lock;
mod network;
mod packages;
mod process;
mod session;
mod site;
mod state;
mod status;
pub mod tamper;

pub use config::{GuestConfig, LabConfig, SessionConfig, SiteName, VolumeConfig};
pub use error::{LabError, Result};
pub use faults::Faults;
pub use guest::{BootCheck, DiskCheck, Guest, GuestCheck, check_guest_disks, check_guest_filesystem};
pub use instance::{Paths, ROOT};
pub use lab::{Lab, instances};
pub use layout::{Redundancy, VolumeLayout};
pub use packages::{install_missing_packages, missing_packages};
pub use site::{PATH as SITE_PATH, Site};
pub use state::Phase;
pub use status::{Status, logs_of};
