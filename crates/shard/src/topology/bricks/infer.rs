//! What the bricks of a subvolume tell together.

use std::collections::BTreeSet;

use super::look::Own;

/// AFR's names of the bricks of a replica set, where they are certain.
///
/// A brick counts changes that *others* missed. So a name that all bricks know but one is that one's; a name that all
/// know is one's that was not given, or that blamed itself, and one that several don't know may be any of theirs. A
/// wrong guess could blame the good copy: where two names would be one brick's, neither is.
pub(super) fn clients(bricks: &[Own]) -> Vec<Option<String>> {
    let mut names: Vec<Vec<&String>> = vec![Vec::new(); bricks.len()];
    let known: BTreeSet<&String> = bricks.iter().flat_map(|own| &own.clients).collect();
    for name in known {
        let mut without = bricks.iter().enumerate().filter(|(_, own)| !own.clients.contains(name));
        if let (Some((only, _)), None) = (without.next(), without.next())
            && let Some(names) = names.get_mut(only)
        {
            names.push(name);
        }
    }
    let certain = |names: Vec<&String>| match names.as_slice() {
        [only] => Some((*only).clone()),
        _ => None,
    };
    names.into_iter().map(certain).collect()
}

/// The brick of a replica set that is an arbiter: it alone has files that are all empty, though others have bytes in
/// the same files.
pub(super) fn arbiter(bricks: &[Own]) -> Option<usize> {
    let is_one = |i: usize, own: &Own| {
        let bytes_elsewhere = |gfid| {
            let others = bricks.iter().enumerate().filter(|(j, _)| *j != i);
            others.filter_map(|(_, other)| other.files.get(gfid)).any(|bytes| *bytes)
        };
        own.files.values().all(|bytes| !bytes) && own.files.keys().any(bytes_elsewhere)
    };
    let mut found = bricks.iter().enumerate().filter(|(i, own)| is_one(*i, own));
    match (found.next(), found.next()) {
        (Some((only, _)), None) => Some(only),
        _ => None,
    }
}

/// The volume's name, as AFR's names and link files have it, if they agree.
pub(super) fn volume_name<'a>(bricks: impl Iterator<Item = &'a Own>) -> Option<String> {
    let mut names = BTreeSet::new();
    for own in bricks {
        for name in own.clients.iter().chain(&own.targets) {
            let (before, number) = name.rsplit_once('-')?;
            if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let kinds = ["-client", "-replicate", "-disperse", "-readdir-ahead"];
            names.insert(kinds.iter().find_map(|kind| before.strip_suffix(kind))?);
        }
    }
    match (names.pop_first(), names.pop_first()) {
        (Some(only), None) if !only.is_empty() => Some(only.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::topology::BrickName;

    fn own(clients: &[&str], files: &[(u128, bool)]) -> Own {
        Own {
            name: BrickName::local("/b"),
            volume_id: Uuid::nil(),
            shard: None,
            root: None,
            dispersed: false,
            ec: None,
            clients: clients.iter().map(|name| (*name).to_owned()).collect(),
            targets: BTreeSet::new(),
            files: files.iter().map(|(gfid, bytes)| (Uuid::from_u128(*gfid), *bytes)).collect(),
        }
    }

    fn names(bricks: &[&[&str]]) -> Vec<Option<String>> {
        clients(&bricks.iter().map(|clients| own(clients, &[])).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_is_that_of_the_only_brick_that_does_not_know_it() {
        let some = |name: &str| Some(name.to_owned());
        // One was down; each was down once; nobody was.
        assert_eq!(names(&[&["v-client-1"], &[], &["v-client-1"]]), [None, some("v-client-1"), None]);
        assert_eq!(names(&[&["v-client-7"], &["v-client-2"]]), [some("v-client-2"), some("v-client-7")]);
        assert_eq!(names(&[&[], &[]]), [None, None]);
        // A brick that was not given; one that blames itself; one brick alone.
        assert_eq!(names(&[&["v-client-2"], &["v-client-2"]]), [None, None]);
        assert_eq!(names(&[&["v-client-0", "v-client-1"], &["v-client-0"]]), [None, some("v-client-1")]);
        assert_eq!(names(&[&["v-client-1"]]), [None]);
        // Several don't know it, or one would have two names.
        assert_eq!(names(&[&["v-client-1"], &[], &[]]), [None, None, None]);
        assert_eq!(
            names(&[&["v-client-1", "v-client-2"], &["v-client-1", "v-client-2"], &[]]),
            [None, None, None]
        );
    }

    #[test]
    fn an_arbiter_has_empty_files_only_and_others_bytes_in_the_same() {
        let data = || own(&[], &[(1, true), (2, false), (3, true)]);
        let empty = || own(&[], &[(1, false), (2, false), (3, false)]);
        assert_eq!(arbiter(&[data(), data(), empty()]), Some(2));
        assert_eq!(arbiter(&[empty(), data()]), Some(0));
        for none in
            [vec![data(), data()], vec![empty(), empty()], vec![empty()], vec![data(), empty(), empty()]]
        {
            assert_eq!(arbiter(&none), None);
        }
        // Files of its own say nothing.
        assert_eq!(arbiter(&[data(), own(&[], &[(9, false)])]), None);
    }

    #[test]
    fn a_volumes_name_is_what_all_names_begin_with() {
        let name = |clients: &[&str]| volume_name([own(clients, &[])].iter());
        assert_eq!(name(&["gv-client-1", "gv-replicate-0", "gv-readdir-ahead-1"]).as_deref(), Some("gv"));
        assert_eq!(name(&["a-client-client-1"]).as_deref(), Some("a-client"));
        for bad in [&["gv-client-1", "gw-client-1"][..], &["gv-client-x"], &["-client-1"], &["client-1"], &[]]
        {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }
}
