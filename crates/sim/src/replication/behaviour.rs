//! How a simulated session behaves, and how single commands fail.

use uuid::Uuid;

/// How a simulated session behaves from a start on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// Workers become Active, read their history, replicate, and reach the checkpoint.
    Healthy,
    /// No worker ever becomes Active: all are Passive.
    ZeroActive,
    /// No worker of one replica set becomes Active.
    PassiveSet {
        /// The set, counted from 0.
        set: usize,
    },
    /// A worker is Active and stands still.
    Starved {
        /// Its brick, by index.
        brick: usize,
        /// In how many starts from now on; later ones are healthy.
        starts: u32,
    },
    /// A worker dies and is started again, for ever.
    Faulty {
        /// Its brick, by index.
        brick: usize,
    },
    /// A brick has no row: its node's glusterd is down.
    Offline {
        /// The brick, by index.
        brick: usize,
    },
    /// Retries are used up: the log says `moving on`, nothing is replicated, and the checkpoint is reached.
    MovingOn,
    /// An entry fails, and the log names it; the rest is replicated, and the checkpoint is reached.
    EntryFailed {
        /// The entry's gfid.
        gfid: Uuid,
    },
    /// `failures` of the first brick's worker rises by one.
    FailuresRise,
    /// rsync at the far side looks at no file: nothing is replicated, and the checkpoint is reached.
    SilentNoOp,
    /// The link is cut: workers call themselves Active and stand still, and no probe gets through.
    LinkCut,
    /// Replicates as if healthy, and can't be stopped, by force either.
    WontStop,
}

/// How a single command fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// `opRet` -1 with this `opErrstr`, exit code 0.
    Refuse(String),
    /// Text that is no XML, exit code 0.
    Text(String),
    /// The document that would have come, cut after so many bytes, exit code 0.
    Cut(usize),
    /// It never comes back.
    Hang,
}

/// The words in which a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vocabulary {
    /// `master` and `slave`, to Gluster 9.
    Before10,
    /// `primary` and `secondary`, since Gluster 10.
    Since10,
}

impl Vocabulary {
    /// `text` in these words.
    pub(super) fn speak(self, text: &str) -> String {
        match self {
            Self::Since10 => text.to_owned(),
            Self::Before10 => text.replace("primary", "master").replace("secondary", "slave"),
        }
    }
}
