//! Topologies from volfiles and from logs with volfiles in them.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io::BufRead;

use super::load::munging;
use super::{Brick, BrickName, Order, Origin, Subvolume, SubvolumeKind, Topology};
use crate::ShardError;
use crate::raw::log;
use crate::raw::volfile::{self, Translator, Volfile};

/// No more than this many translators stand between DHT and what it distributes over; there is one at most,
/// readdir-ahead.
const BETWEEN_LIMIT: usize = 8;

/// What is said of a file that is nothing else, either.
const NOTHING: &str = "it holds no whole volfile of a client's, nor is it the output of `gluster volume info --xml`; the \
    description of a volume can also be glusterd's directory of it";

impl Topology {
    /// Reads a volfile of a client's: `VOLUME.tcp-fuse.vol` or its like.
    ///
    /// # Errors
    /// When it is no volfile, is none of a client's, the volume is not in it, or its type is not supported.
    pub fn from_volfile(text: &str, volume: Option<&str>) -> Result<Self, ShardError> {
        let fail = |problem: String| ShardError::Spec { what: "volfile".to_owned(), problem };
        let volfile = Volfile::parse(text).map_err(fail)?;
        let graph = Graph::new(&volfile);
        let volumes = graph.volumes();
        if volumes.is_empty() {
            return Err(fail(graph.what_it_is().to_owned()));
        }
        let named = |name: &str| volumes.iter().find(|(have, _)| have == name);
        let found = match (volume, volumes.as_slice()) {
            (Some(asked), _) => named(asked),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        match found {
            Some((name, dht)) => graph.topology(name, dht),
            None => Err(ShardError::NoSuchVolume {
                asked: volume.map(str::to_owned),
                have: volumes.into_iter().map(|(name, _)| name).collect(),
            }),
        }
    }

    /// Reads a volfile out of the log of a client's, or of another daemon's that has one: of those that are whole, and
    /// of the volume that is asked for, the last one, or with `back` the one that many before it.
    ///
    /// # Errors
    /// When the log can't be read, there is no such volfile in it, or its volume's type is not supported.
    pub fn from_log(log: impl BufRead, volume: Option<&str>, back: usize) -> Result<Self, ShardError> {
        let mut found: VecDeque<Result<Self, ShardError>> = VecDeque::new();
        let mut others = BTreeSet::new();
        let mut none = None;
        let each = |logged: log::Logged| {
            let graph = Graph::new(&logged.volfile);
            let volumes = graph.volumes();
            if volumes.is_empty() {
                none = Some(graph.what_it_is());
            }
            for (name, dht) in volumes {
                if volume.is_some_and(|asked| asked != name) {
                    // Enough to tell what there is.
                    if others.len() < 100 {
                        others.insert(name);
                    }
                    continue;
                }
                if found.len() > back {
                    drop(found.pop_front());
                }
                found.push_back(graph.topology(&name, dht));
            }
        };
        log::for_each_volfile(log, each).map_err(ShardError::Read)?;
        if found.len() > back
            && let Some(first) = found.pop_front()
        {
            return first;
        }
        let fail = |problem: String| ShardError::Spec { what: "log".to_owned(), problem };
        match (volume, found.len(), none) {
            (_, 1.., _) => {
                Err(fail(format!("there are {} volfiles in it, fewer than were asked for", found.len())))
            }
            (Some(asked), _, _) if !others.is_empty() => Err(ShardError::NoSuchVolume {
                asked: Some(asked.to_owned()),
                have: others.into_iter().collect(),
            }),
            (_, _, Some(what)) => Err(fail(what.to_owned())),
            (_, _, None) => Err(fail(NOTHING.to_owned())),
        }
    }
}

/// A volfile's translators by their names.
struct Graph<'a> {
    volfile: &'a Volfile,
    by_name: HashMap<&'a str, &'a Translator>,
}

impl<'a> Graph<'a> {
    fn new(volfile: &'a Volfile) -> Self {
        let by_name = volfile.translators.iter().map(|found| (found.name.as_str(), found)).collect();
        Self { volfile, by_name }
    }

    fn get(&self, name: &str) -> Option<&'a Translator> {
        self.by_name.get(name).copied()
    }

    fn has(&self, kind: &str) -> bool {
        self.volfile.translators.iter().any(|translator| translator.kind == kind)
    }

    /// The volumes: each has a DHT of its own, which glusterd calls after it.
    fn volumes(&self) -> Vec<(String, &'a Translator)> {
        let dht = |found: &&Translator| {
            matches!(
                found.kind.as_str(),
                "cluster/distribute" | "cluster/dht" | "cluster/nufa" | "cluster/switch"
            )
        };
        let name = |found: &Translator| found.name.strip_suffix("-dht").unwrap_or(&found.name).to_owned();
        self.volfile.translators.iter().filter(dht).map(|found| (name(found), found)).collect()
    }

    /// Why a volfile without DHT describes no volume.
    fn what_it_is(&self) -> &'static str {
        if self.has("storage/posix") {
            "it is a brick's volfile, which tells of no other brick; give that of a client"
        } else if self.has("protocol/client") {
            "it is a daemon's volfile, which does not tell how the bricks make up the volume; give that of a client"
        } else {
            "it is no volfile of a client's"
        }
    }

    fn topology(&self, volume: &str, dht: &Translator) -> Result<Topology, ShardError> {
        let fail = |problem: String| ShardError::Spec { what: format!("volfile of {volume}"), problem };
        let unsupported = |what: String| ShardError::Unsupported { volume: volume.to_owned(), what };
        if self.has("cluster/tier") {
            return Err(unsupported(
                "tiered volumes are not supported (Gluster dropped them in 6)".to_owned(),
            ));
        }
        if dht.subvolumes.is_empty() {
            return Err(fail("the volume has no brick".to_owned()));
        }
        let decommissioned: Vec<&str> = words(dht.option(volfile::DECOMMISSIONED_BRICKS)).collect();
        let (mut id, mut used) = (None, HashSet::new());
        let mut subvolumes = Vec::with_capacity(dht.subvolumes.len());
        for name in &dht.subvolumes {
            let set = self.below(name).ok_or_else(|| fail(format!("{name} leads to no brick")))?;
            let leaving = [name, &set.name].iter().any(|name| decommissioned.contains(&name.as_str()));
            let (kind, arbiters) = match set.kind.as_str() {
                "protocol/client" => (SubvolumeKind::Single, 0),
                "cluster/replicate" | "cluster/afr" => {
                    (SubvolumeKind::Replicate, number(set, volfile::ARBITER_COUNT).map_err(&fail)?)
                }
                "cluster/disperse" | "cluster/ec" => {
                    let redundancy = number(set, volfile::REDUNDANCY).map_err(&fail)?;
                    (SubvolumeKind::Disperse { redundancy }, 0)
                }
                "cluster/stripe" => {
                    let what = "striped volumes are not supported (Gluster dropped them in 6)";
                    return Err(unsupported(what.to_owned()));
                }
                other => return Err(unsupported(format!("its files lie on a {other}, which is not known"))),
            };
            if arbiters > 1 {
                return Err(unsupported("it has more than one arbiter in a replica set".to_owned()));
            }
            let mut bricks = self.bricks(set, &mut used).map_err(&fail)?;
            for brick in &mut bricks {
                brick.decommissioned = leaving;
            }
            if let (1, Some(last)) = (arbiters, bricks.last_mut()) {
                last.arbiter = true;
            }
            id = id.or_else(|| set.option(volfile::VOLUME_ID)?.parse().ok());
            subvolumes.push(Subvolume { name: set.name.clone(), kind, bricks, order: Order::Described });
        }
        let munging = munging(dht.option(volfile::RSYNC_HASH_REGEX), dht.option(volfile::EXTRA_HASH_REGEX));
        Ok(Topology { volume: volume.to_owned(), id, origin: Origin::Volfile, subvolumes, munging })
    }

    /// The set or brick that `name` is or, by way of translators above a single one, leads to.
    fn below(&self, name: &str) -> Option<&'a Translator> {
        let mut found = self.get(name)?;
        for _ in 0..BETWEEN_LIMIT {
            match found.subvolumes.as_slice() {
                [only] if !found.kind.starts_with("cluster/") => found = self.get(only)?,
                _ => break,
            }
        }
        (found.kind == "protocol/client" || !found.subvolumes.is_empty()).then_some(found)
    }

    /// The bricks of a set, or the one that it is. The error is a sentence.
    fn bricks(&self, set: &'a Translator, used: &mut HashSet<&'a str>) -> Result<Vec<Brick>, String> {
        let mut clients: Vec<&'a Translator> = if set.kind == "protocol/client" {
            vec![set]
        } else {
            let get = |name: &String| self.get(name).filter(|client| client.kind == "protocol/client");
            let clients: Option<Vec<_>> = set.subvolumes.iter().map(get).collect();
            clients.ok_or_else(|| format!("{} stands on something that is no brick", set.name))?
        };
        let mut names: Vec<&str> = words(set.option(volfile::AFR_PENDING_XATTR)).collect();
        if !names.is_empty() && names.len() != clients.len() {
            return Err(format!(
                "{} names {} bricks, but stands on {}",
                set.name,
                names.len(),
                clients.len()
            ));
        }
        if set.option(volfile::THIN_ARBITER).is_some() && clients.len() > 1 {
            clients.pop();
            names.pop();
        }
        let mut bricks = Vec::with_capacity(clients.len());
        for (number, client) in clients.into_iter().enumerate() {
            if !used.insert(&client.name) {
                return Err(format!("{} is used twice", client.name));
            }
            let part = |key: &str| client.option(key).ok_or_else(|| format!("{} has no {key}", client.name));
            let (host, path) = (part(volfile::REMOTE_HOST)?, part(volfile::REMOTE_SUBVOLUME)?);
            if host.is_empty() || !path.starts_with('/') {
                return Err(format!("{} names no brick by its host and its absolute path", client.name));
            }
            bricks.push(Brick {
                name: BrickName::new(host, path),
                client: Some(
                    names.get(number).map_or_else(|| client.name.clone(), |name| (*name).to_owned()),
                ),
                arbiter: false,
                decommissioned: false,
            });
        }
        Ok(bricks)
    }
}

fn words(value: Option<&str>) -> impl Iterator<Item = &str> {
    value.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// An option that is a number, 0 where it is not set. The error is a sentence.
fn number(translator: &Translator, key: &str) -> Result<u32, String> {
    match translator.option(key) {
        None => Ok(0),
        Some(value) => value.parse().map_err(|_| format!("{} of {} is no number", key, translator.name)),
    }
}
