//! Link files: whether each leads to the data, and is where clients look for it.

use std::collections::HashSet;

use super::Problem;
use super::copies::Examined;
use crate::set::{Held, SetDir};
use crate::topology::Origin;
use crate::volume::Inner;

/// What is wrong with a name's link files.
#[derive(Debug, Default)]
pub(super) struct Links {
    problems: Vec<Problem>,
}

impl Links {
    /// Looks at the link files among what each set holds under a name of that hash, in these directories.
    pub(super) fn of(inner: &Inner, dirs: &[SetDir], hash: Option<u32>, held: &[Held]) -> Self {
        let mut links = Self::default();
        let name = |s: usize| inner.sets.get(s).map_or_else(String::new, |set| set.subvolume.name.clone());
        let hashed = hash.and_then(|hash| {
            dirs.iter().position(|dir| dir.layout.is_some_and(|layout| layout.contains(hash)))
        });
        let data_on = || {
            let data = held.iter().enumerate().filter(|(_, held)| matches!(held, Held::Data(_)));
            data.map(|(s, _)| name(s)).collect::<Vec<_>>()
        };
        for (s, target) in held.iter().enumerate().filter_map(|(s, held)| match held {
            Held::Linkto(target) => Some((s, target)),
            _ => None,
        }) {
            let subvolume = name(s);
            let Some(leads_to) = inner.topology.subvolume_named(target) else {
                // Bricks alone don't tell what DHT calls the subvolumes.
                if inner.topology.origin != Origin::Bricks {
                    links.add(Problem::LinkToStranger { subvolume, target: target.clone() });
                }
                continue;
            };
            match held.get(leads_to) {
                Some(Held::Data(_)) if hashed.is_some_and(|hashed| hashed != s) => {
                    links.add(Problem::LinkStale { subvolume });
                }
                Some(Held::Data(_) | Held::Unknown(_)) | None => {}
                Some(Held::Nothing) => {
                    links.add(Problem::LinkToWrong { subvolume, target: target.clone(), data_on: data_on() });
                }
                Some(Held::Linkto(_)) => match circle(inner, held, s) {
                    Some(circle) => {
                        links.add(Problem::LinkLoop { subvolumes: circle.into_iter().map(name).collect() });
                    }
                    None => {
                        let data_on = data_on();
                        links.add(Problem::LinkToWrong { subvolume, target: target.clone(), data_on });
                    }
                },
            }
        }
        links
    }

    fn add(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Tells them of a name that has data.
    pub(super) fn report(self, out: &mut Examined) {
        self.problems.into_iter().for_each(|problem| out.add(problem));
    }

    /// Tells of a name without data only what is not said by that.
    pub(super) fn report_circles(self, out: &mut Examined) {
        let circles = self.problems.into_iter().filter(|problem| matches!(problem, Problem::LinkLoop { .. }));
        circles.for_each(|problem| out.add(problem));
    }
}

/// The sets on the circle that the link file on a set leads into, ascending; `None` where it leads to an end.
fn circle(inner: &Inner, held: &[Held], from: usize) -> Option<Vec<usize>> {
    let next = |s: usize| match held.get(s) {
        Some(Held::Linkto(target)) => inner.topology.subvolume_named(target),
        _ => None,
    };
    let mut met = HashSet::new();
    let mut at = from;
    while met.insert(at) {
        at = next(at)?;
    }
    let mut circle = vec![at];
    let mut on = next(at)?;
    while on != at {
        circle.push(on);
        on = next(on)?;
    }
    circle.sort_unstable();
    Some(circle)
}
