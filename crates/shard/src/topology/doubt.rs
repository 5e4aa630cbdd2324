//! What a topology leaves open.

use std::fmt;

use serde::Serialize;

use super::{Order, Origin, SubvolumeKind, Topology};

/// Something that a topology of bricks alone does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "doubt")]
#[non_exhaustive]
pub enum Doubt {
    /// Bricks that must exist were not given.
    NotGiven {
        /// Their subvolume.
        subvolume: String,
        /// How many.
        bricks: usize,
        /// Of how many.
        of: usize,
    },
    /// It is not certain of all bricks of a replica set which of AFR's names are theirs: a counter other than zero under
    /// another name is an error.
    Names {
        /// The subvolume.
        subvolume: String,
    },
    /// In which order a dispersed set's bricks are shows only when files are decoded, as when the volume is opened.
    Order {
        /// The subvolume.
        subvolume: String,
    },
    /// In which order a dispersed set's bricks are is the caller's word. In another, files are other bytes.
    OrderGiven {
        /// The subvolume.
        subvolume: String,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGiven { subvolume, bricks, of } if bricks == of => {
                write!(f, "{subvolume} was not given: {of} bricks")
            }
            Self::NotGiven { subvolume, bricks, of } => {
                write!(f, "{bricks} of the {of} bricks of {subvolume} were not given")
            }
            Self::Names { subvolume } => {
                write!(f, "which bricks of {subvolume} AFR's counters mean is not certain")
            }
            Self::OrderGiven { subvolume } => {
                write!(
                    f,
                    "the order of {subvolume}'s bricks is taken to be the one in which they were given; in another, files \
                     are other bytes"
                )
            }
            Self::Order { subvolume } => write!(f, "the order of {subvolume}'s bricks is yet to be proven"),
        }
    }
}

impl Topology {
    /// What is not known of the volume. Only a topology of bricks alone leaves anything open.
    #[must_use]
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        if self.origin != Origin::Bricks {
            return doubts;
        }
        for set in &self.subvolumes {
            let subvolume = || set.name.clone();
            let of = set.bricks.len();
            let bricks = set.bricks.iter().filter(|brick| !brick.name.is_given()).count();
            if bricks > 0 {
                doubts.push(Doubt::NotGiven { subvolume: subvolume(), bricks, of });
            }
            match set.kind {
                _ if bricks == of => {}
                SubvolumeKind::Replicate
                    if of > 1 && set.bricks.iter().any(|brick| brick.client.is_none()) =>
                {
                    doubts.push(Doubt::Names { subvolume: subvolume() });
                }
                SubvolumeKind::Disperse { .. } => match set.order {
                    Order::Unknown => doubts.push(Doubt::Order { subvolume: subvolume() }),
                    Order::Given => doubts.push(Doubt::OrderGiven { subvolume: subvolume() }),
                    Order::Described | Order::Proven => {}
                },
                SubvolumeKind::Single | SubvolumeKind::Replicate => {}
            }
        }
        doubts
    }
}
