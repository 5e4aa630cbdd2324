//! What each brick of a dispersed subvolume has of a file.

use std::fmt;

use crate::topology::BrickName;

/// What each brick of a set has of one file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentTable {
    /// A row for each brick of the set, in its order.
    pub rows: Vec<FragmentRow>,
}

/// One brick of a [`FragmentTable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentRow {
    /// The brick.
    pub brick: BrickName,
    /// What it has.
    pub state: FragmentState,
}

/// What a brick has of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FragmentState {
    /// A fragment of a file, or the directory.
    Here {
        /// How many changes it saw, of the kind that is asked about.
        version: u64,
        /// Whether a change was begun that not every brick is known to have.
        dirty: bool,
        /// For a fragment, the file's size as it has it and its own length, both in bytes.
        sizes: Option<(u64, u64)>,
    },
    /// Nothing that can be used: why, in words that go on from the brick's name.
    Unusable(String),
}

impl fmt::Display for FragmentTable {
    /// A line for each brick.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, row) in self.rows.iter().enumerate() {
            write!(f, "  {number} {}", row.brick)?;
            match &row.state {
                FragmentState::Here { version, dirty, sizes } => {
                    write!(f, ": version {version}")?;
                    if let Some((size, len)) = sizes {
                        write!(f, ", of {size} bytes, {len} bytes long")?;
                    }
                    f.write_str(if *dirty { ", marked dirty" } else { "" })?;
                }
                FragmentState::Unusable(why) => write!(f, " {why}")?,
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}
