//! What `qemu-img compare` says.

use std::fmt;

use super::content::differences_until;
use super::steps::Steps;
use super::{CompareError, CompareOptions};
use crate::GuestView;

/// What `qemu-img compare` finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The guest sees the same.
    Identical,
    /// In strict mode: the sizes differ.
    Sizes,
    /// In strict mode: from this place on the two are not stored in the same way.
    Status {
        /// Where, in bytes.
        offset: u64,
    },
    /// The bytes differ.
    Content {
        /// The first byte that differs. qemu-img tells the sector of 512 bytes that it is in.
        offset: u64,
    },
}

impl Verdict {
    /// The exit code of `qemu-img compare`: 0 or 1.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Identical => 0,
            _ => 1,
        }
    }
}

impl fmt::Display for Verdict {
    /// In qemu-img's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identical => f.write_str("Images are identical."),
            Self::Sizes => f.write_str("Strict mode: Image size mismatch!"),
            Self::Status { offset } => write!(f, "Strict mode: Offset {offset} block status mismatch!"),
            Self::Content { offset } => write!(f, "Content mismatch at offset {}!", offset / 512 * 512),
        }
    }
}

/// What happens on the way to a [`Verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// So many bytes are compared.
    Progress {
        /// Bytes that are done.
        done: u64,
        /// All of them: the larger disk's.
        total: u64,
    },
    /// All that both disks have is the same, but one is larger. What it has more may still be zeros.
    SizesDiffer,
}

/// Compares two disks as `qemu-img compare` does; `strict` is its `-s`. `tell` is told in the steps in which qemu-img
/// goes on.
///
/// # Errors
/// When a disk can't be read up to where the verdict is clear.
pub fn verdict(
    first: &GuestView,
    second: &GuestView,
    strict: bool,
    options: &CompareOptions,
    tell: &mut dyn FnMut(Event),
) -> Result<Verdict, CompareError> {
    let common = first.size().min(second.size());
    let total = first.size().max(second.size());
    if strict && common != total {
        return Ok(Verdict::Sizes);
    }
    // The maps alone tell where strict mode would stop.
    let mut status = None;
    if strict {
        // A fault is met again, and told, when the bytes are compared.
        let steps = Steps::new(first, second).map_while(Result::ok);
        status = steps.into_iter().find(|step| !step.same_status).map(|step| step.start);
    }
    let limit = status.unwrap_or(u64::MAX);
    let mut content = differences_until(first, second, options, limit);
    let mut steps = Steps::new(first, second).map_while(Result::ok).peekable();
    let mut told = false;
    loop {
        let more = content.advance()?;
        let decided = content.first().unwrap_or(content.reached());
        while let Some(step) = steps.next_if(|step| step.end <= decided) {
            if step.end > common && !told {
                told = true;
                tell(Event::SizesDiffer);
            }
            tell(Event::Progress { done: step.end, total });
        }
        if let Some(offset) = content.first() {
            if offset >= common && !told {
                tell(Event::SizesDiffer);
            }
            return Ok(Verdict::Content { offset });
        }
        if !more {
            break;
        }
    }
    if common != total && !told {
        tell(Event::SizesDiffer);
    }
    Ok(status.map_or(Verdict::Identical, |offset| Verdict::Status { offset }))
}
