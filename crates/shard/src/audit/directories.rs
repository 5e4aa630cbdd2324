//! Going through the directories, each compared between bricks and subvolumes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::copies::{Examined, add_counted};
use super::finding::at;
use super::index::bricks;
use super::orphans::Met;
use super::report::Report;
use super::{Auditor, Problem};
use crate::set::{Change, DirState, DirectoryXattrs, Set, SetDir, covers_all_hashes};
use crate::topology::BrickName;
use crate::tree::{FoundDirectory, Handle, Kind, for_each_name};
use crate::volume::{DEPTH_LIMIT, Place, is_own};

/// What is under a name: the greatest kind, and whether bricks differ.
#[derive(Debug, Clone, Copy)]
struct Kinds {
    greatest: Kind,
    differ: bool,
}

impl Auditor<'_> {
    /// Goes through the directory of these names and all below it.
    pub(super) fn below(&self, start: &[PathBuf], report: &mut Report<'_>) -> Met {
        let mut met = Met::default();
        if start.is_empty() {
            let names = [PathBuf::from(".shard")];
            // A volume without a sharded file has none.
            if self.inner.shard_dirs.iter().any(|dir| dir.state != DirState::Absent) {
                self.directory(&names, &self.directories(&names), report);
            }
        }
        let mut pending: Vec<PathBuf> = vec![start.iter().collect()];
        while let Some(path) = pending.pop() {
            if report.is_stopped() {
                break;
            }
            let names: Vec<PathBuf> = path.iter().map(PathBuf::from).collect();
            if names.len() > DEPTH_LIMIT {
                met.in_part = true;
                report.not_seen(format!("what is below the {DEPTH_LIMIT}th directory of {}", path.display()));
                continue;
            }
            let dirs = self.directories(&names);
            self.directory(&names, &dirs, report);
            let listed = self.list(&path, &dirs, &mut met, report);
            let all_sets_known = self.inner.all_sets_are_in(&dirs);
            let mut place = Place { dirs, name: PathBuf::new(), hashed: true, all_sets_known };
            let mut inside = Vec::new();
            for (name, kinds) in listed {
                if report.is_stopped() {
                    break;
                }
                place.name = PathBuf::from(name);
                let whole = path.join(&place.name);
                if kinds.differ {
                    let kinds = self.kinds(&place);
                    report.found(at(&whole, None), Problem::KindsDiffer { kinds });
                }
                match kinds.greatest {
                    Kind::Directory => inside.push(whole),
                    Kind::File | Kind::LinkFile => {
                        self.file(&place, at(whole, None), &mut met, report);
                    }
                    Kind::Symlink => self.symlink(&place, &whole, report),
                    // Of these nothing can be looked at but their names.
                    Kind::Special | Kind::Nothing => report.progress.entries += 1,
                }
            }
            pending.extend(inside.into_iter().rev());
        }
        met
    }

    /// The directory of these names on each set; one that can't be told is unknown.
    fn directories(&self, names: &[PathBuf]) -> Vec<SetDir> {
        let unknown = |set: &Set, why: String| SetDir::without(DirState::Unknown(why), set);
        let on_set = |set: &Set| {
            let mut dir = set.root().unwrap_or_else(|error| unknown(set, error.to_string()));
            for name in names {
                dir = set.subdirectory(&dir, name).unwrap_or_else(|error| unknown(set, error.to_string()));
            }
            dir
        };
        self.inner.sets.iter().map(on_set).collect()
    }

    /// The names in a directory, on whatever bricks they are.
    fn list(
        &self,
        path: &Path,
        dirs: &[SetDir],
        met: &mut Met,
        report: &mut Report<'_>,
    ) -> BTreeMap<OsString, Kinds> {
        let mut names: BTreeMap<OsString, Kinds> = BTreeMap::new();
        for (set, dir) in self.inner.sets.iter().zip(dirs) {
            if let DirState::Unknown(why) = &dir.state {
                met.in_part = true;
                // That none of its bricks is here was told.
                if set.trees.iter().any(Result::is_ok) {
                    let (subvolume, shown) = (&set.subvolume.name, Path::new("/").join(path));
                    report.not_seen(format!("what {subvolume} has in {}: {why}", shown.display()));
                }
            }
            for (i, member) in dir.members.iter().enumerate() {
                let (Some(tree), Some(member)) = (set.tree(i), member) else { continue };
                let each = |name: &[u8]| {
                    if path.as_os_str().is_empty() && is_own(name) {
                        return;
                    }
                    let name = OsString::from_vec(name.to_vec());
                    let kind = tree.kind(member, Path::new(&name));
                    let known = names.entry(name).or_insert(Kinds { greatest: kind, differ: false });
                    // A link file leads to anything.
                    known.differ |= known.greatest != kind && known.greatest.min(kind) != Kind::LinkFile;
                    known.greatest = known.greatest.max(kind);
                };
                let listed = tree.reopen(member).map(|fd| for_each_name(&fd, each));
                let why = match listed {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                met.in_part = true;
                report.not_seen(format!("the names in {}: {why}", tree.local.join(&member.path).display()));
            }
        }
        names
    }

    /// What a name is on each brick that has it.
    fn kinds(&self, place: &Place) -> Vec<(BrickName, String)> {
        let mut kinds = Vec::new();
        for (set, dir) in self.inner.sets.iter().zip(&place.dirs) {
            for (i, member) in dir.members.iter().enumerate() {
                let (Some(tree), Some(member)) = (set.tree(i), member) else { continue };
                let kind = match tree.kind(member, &place.name) {
                    Kind::Nothing => continue,
                    Kind::LinkFile => "a link file",
                    Kind::Special => "a special file",
                    Kind::Symlink => "a symbolic link",
                    Kind::File => "a file",
                    Kind::Directory => "a directory",
                };
                kinds.push((set.brick(i), kind.to_owned()));
            }
        }
        kinds
    }

    /// Compares a directory between all bricks. `dirs` is what each set holds of it.
    fn directory(&self, names: &[PathBuf], dirs: &[SetDir], report: &mut Report<'_>) {
        report.summary.directories += 1;
        report.progress.entries += 1;
        let mut out = Examined::default();
        let parents = names.split_last().map(|(name, above)| (self.directories(above), name));
        let (mut gfids, mut lacking) = (Vec::new(), Vec::new());
        for (s, set) in self.inner.sets.iter().enumerate() {
            let looked = self.look_at_directory(s, set, parents.as_ref(), &mut out);
            let there = looked.iter().filter(|(_, found)| found.is_some()).count();
            let absent: Vec<usize> =
                looked.iter().filter(|(_, found)| found.is_none()).map(|(i, _)| *i).collect();
            if there == 0 && !absent.is_empty() {
                lacking.push(set.subvolume.name.clone());
            }
            let stale = dirs.get(s).is_some_and(|dir| dir.state == DirState::Absent);
            if there > 0 && stale {
                let have: Vec<usize> =
                    looked.iter().filter(|(_, found)| found.is_some()).map(|(i, _)| *i).collect();
                out.add(Problem::StaleName { bricks: bricks(set, &have) });
                continue;
            }
            if there > 0 && !absent.is_empty() {
                out.add(Problem::CopyMissing { bricks: bricks(set, &absent) });
            }
            self.compare_directories(s, set, &looked, &mut gfids, &mut out);
        }
        if gfids.iter().any(|(_, gfid)| gfids.first().is_some_and(|(_, first)| first != gfid)) {
            out.add(Problem::GfidMismatch { copies: gfids.clone() });
        } else if !gfids.is_empty() {
            if !lacking.is_empty() {
                out.add(Problem::DirectoryMissing { subvolumes: lacking });
            }
            self.compare_layouts(dirs, &mut out);
        }
        out.not_seen.into_iter().for_each(|what| report.not_seen(what));
        let path: PathBuf = Path::new("/").join(names.iter().collect::<PathBuf>());
        let shown = if names.is_empty() { path } else { names.iter().collect() };
        for problem in out.problems {
            report.found(at(&shown, gfids.first().map(|(_, gfid)| *gfid)), problem);
        }
        report.progress();
    }

    /// What each brick of a set that is here and has the directory above has: `None` for nothing.
    fn look_at_directory(
        &self,
        s: usize,
        set: &Set,
        parents: Option<&(Vec<SetDir>, &PathBuf)>,
        out: &mut Examined,
    ) -> Vec<(usize, Option<DirectoryXattrs>)> {
        let mut looked = Vec::new();
        for i in 0..set.trees.len() {
            let Some(tree) = set.tree(i) else { continue };
            let found = match parents {
                None => tree.root().map(FoundDirectory::Directory),
                Some((dirs, name)) => {
                    let above = dirs.get(s).and_then(|dir| dir.members.get(i)?.as_ref());
                    let Some(above) = above else { continue };
                    tree.directory(above, name)
                }
            };
            let xattrs = match found {
                Ok(FoundDirectory::Nothing) => Ok(None),
                Ok(FoundDirectory::Other) => {
                    out.add(Problem::BadCopy { brick: set.brick(i), why: "is not a directory".to_owned() });
                    continue;
                }
                Ok(FoundDirectory::Directory(directory)) => set.directory_xattrs(i, &directory).map(Some),
                Err(error) => Err(error),
            };
            match xattrs {
                Ok(xattrs) => looked.push((i, xattrs)),
                Err(error) => out.not_seen.push(error.to_string()),
            }
        }
        looked
    }

    /// Compares a directory between the bricks of one set.
    fn compare_directories(
        &self,
        s: usize,
        set: &Set,
        looked: &[(usize, Option<DirectoryXattrs>)],
        gfids: &mut Vec<(BrickName, Uuid)>,
        out: &mut Examined,
    ) {
        let (mut blames, mut layouts) = (Vec::new(), Vec::new());
        let (mut missing, mut other) = (Vec::new(), Vec::new());
        for (i, xattrs) in looked.iter().filter_map(|(i, xattrs)| Some((*i, xattrs.as_ref()?))) {
            let bad = |why: &String| Problem::BadCopy { brick: set.brick(i), why: why.clone() };
            match &xattrs.blame {
                Ok(blame) => blames.push((i, blame)),
                Err(why) => out.add(bad(why)),
            }
            match &xattrs.layout {
                Ok(layout) => layouts.push(layout.map(|layout| (layout.start, layout.stop))),
                Err(why) => out.add(bad(why)),
            }
            let gfid = match &xattrs.gfid {
                Ok(gfid) => *gfid,
                Err(why) => {
                    out.add(bad(why));
                    continue;
                }
            };
            gfids.push((set.brick(i), gfid));
            let root = self.roots.get(s).and_then(|roots| roots.get(i)?.as_ref());
            let (Some(tree), Some(root)) = (set.tree(i), root) else { continue };
            match tree.handle(root, gfid) {
                Ok(Handle::Symlink { .. }) => {}
                Ok(Handle::Nothing) => missing.push(i),
                Ok(_) => other.push(i),
                Err(error) => out.not_seen.push(error.to_string()),
            }
        }
        if !missing.is_empty() {
            out.add(Problem::HandleMissing { bricks: bricks(set, &missing) });
        }
        if !other.is_empty() {
            out.add(Problem::HandleOther { bricks: bricks(set, &other) });
        }
        let everywhere = looked.iter().all(|(_, xattrs)| xattrs.is_some());
        let counted = set.counted(&[Change::Entry, Change::Metadata], &blames);
        let healed = counted.behind.is_empty();
        add_counted(set, counted, everywhere, out);
        if healed && layouts.iter().any(|layout| Some(layout) != layouts.first()) {
            let problem = format!("the bricks of {} have different DHT layouts", set.subvolume.name);
            out.add(Problem::LayoutBroken { problem });
        }
    }

    /// Whether each hash belongs to one subvolume.
    fn compare_layouts(&self, dirs: &[SetDir], out: &mut Examined) {
        let layouts = dirs.iter().filter_map(|dir| dir.layout).filter(|layout| !layout.is_empty());
        let mut ranges: Vec<(u32, u32)> = layouts.map(|layout| (layout.start, layout.stop)).collect();
        ranges.sort_unstable();
        let overlap = ranges.windows(2).any(|pair| matches!(pair, [(_, stop), (start, _)] if start <= stop));
        if overlap {
            let problem = "hashes of names belong to several subvolumes".to_owned();
            out.add(Problem::LayoutBroken { problem });
        }
        // One that nobody has laid out yet is when it is needed; of one subvolume, the root never may be.
        if dirs.iter().all(|dir| dir.layout.is_none()) {
            return;
        }
        let all_seen = self.inner.all_sets_known && dirs.iter().all(|dir| dir.state == DirState::Present);
        if all_seen && !covers_all_hashes(dirs) {
            let mut problem = "hashes of names belong to no subvolume".to_owned();
            for (set, dir) in self.inner.sets.iter().zip(dirs) {
                let range = dir.layout.filter(|layout| !layout.is_empty());
                let range = range.map(|layout| format!("{:08x}-{:08x}", layout.start, layout.stop));
                let range = range.unwrap_or_else(|| "none".to_owned());
                problem.push_str(&format!(", {} has {range}", set.subvolume.name));
            }
            out.add(Problem::LayoutBroken { problem });
        }
    }
}
