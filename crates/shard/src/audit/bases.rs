//! A file: its base, and then its shards.

use std::path::Path;

use uuid::Uuid;

use super::contents::{Sharded, stored};
use super::copies::{Examined, Spot};
use super::finding::{Subject, at, of_gfid};
use super::orphans::Met;
use super::report::{Grouped, Report};
use super::{Auditor, Problem};
use crate::ShardError;
use crate::file::Stat;
use crate::volume::Place;

impl Auditor<'_> {
    /// The file at a path that was asked for.
    pub(super) fn file_at(
        &self,
        place: &Place,
        path: &Path,
        report: &mut Report<'_>,
    ) -> Result<(), ShardError> {
        if self.file(place, at(path, None), &mut Met::default(), report) {
            return Ok(());
        }
        Err(ShardError::NotFound { what: path.display().to_string() })
    }

    /// The file of a gfid that was asked for.
    pub(super) fn file_of(
        &self,
        place: &Place,
        gfid: Uuid,
        report: &mut Report<'_>,
    ) -> Result<(), ShardError> {
        if self.file(place, of_gfid(gfid), &mut Met::default(), report) {
            return Ok(());
        }
        Err(ShardError::NotFound { what: format!("gfid:{gfid}") })
    }

    /// Looks at a file, and tells whether any brick has something under the name. `met` gets the gfids that it has.
    pub(super) fn file(
        &self,
        place: &Place,
        subject: Subject,
        met: &mut Met,
        report: &mut Report<'_>,
    ) -> bool {
        let spot = Spot {
            dirs: &place.dirs,
            name: &place.name,
            hashed: place.hashed,
            all_sets_known: place.all_sets_known,
            base: true,
        };
        let mut out = Examined::default();
        let seen = self.look(&spot, &|_, _| Some(true), &mut out);
        self.examine(&spot, seen, &mut out);
        std::mem::take(&mut out.not_seen).into_iter().for_each(|what| report.not_seen(what));
        if out.copies == 0 && out.problems.is_empty() {
            return false;
        }
        report.summary.files += 1;
        report.summary.copies += out.copies;
        report.progress.entries += 1;
        let what = || place.name.display().to_string();
        let (stat, is_gone) = match Stat::look(self.inner, place, &what) {
            Ok(Some(stat)) => (Some(stat), false),
            Ok(None) => (None, true),
            Err(error) => {
                out.refused(error);
                (None, false)
            }
        };
        let gfid = stat.as_ref().map(|stat| stat.gfid).or_else(|| out.gfids.first().copied());
        // Another name of it was looked at before.
        let again = gfid.is_some_and(|gfid| met.has(gfid));
        if is_gone {
            met.add_gone(&out.gfids, &self.names);
        } else {
            met.add(&out.gfids, stat.as_ref().map(|stat| stat.gfid), &self.names);
        }
        let mut grouped = Grouped::new(subject);
        grouped.subject().gfid = gfid;
        let sharded = stat.as_ref().and_then(|stat| {
            let (size, blocks) = (stat.size, out.blocks);
            Some(Sharded { gfid: stat.gfid, size, span: stat.shard_size?, blocks })
        });
        let index = sharded.map(|_| 0);
        for problem in std::mem::take(&mut out.problems) {
            grouped.add(index, problem, report);
        }
        let base = stored(&out);
        if let (Some(gfid), false) = (gfid, again) {
            // A brick that missed the deletion may have both still.
            if self.names.is_removed(gfid) && stat.is_some() {
                grouped.add(None, Problem::DeletionBegun, report);
            }
            self.compare_base(index, out, &mut grouped, report);
            match sharded {
                Some(file) => {
                    report.summary.sharded_files += 1;
                    self.shards(&file, base, &mut grouped, report);
                }
                None => {
                    let shards = self.names.of(gfid).len() as u64;
                    if shards > 0 && stat.is_some() {
                        grouped.add(None, Problem::ShardSizeMissing { shards }, report);
                    }
                }
            }
        }
        grouped.flush(report);
        report.progress();
        true
    }
}
