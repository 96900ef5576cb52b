//! The difference between the rings of two tiers.

use std::collections::BTreeMap;

use super::names::{Name, Names, name, points};
use crate::policy::parts::ring::RingEdit;
use crate::tiers::tier::{BackendIndex, Tier};

/// The points that go and come from `of`, whose backends own `numbers` of points (0 for those that are not the first of a
/// name), to the `names` of `tier` and their numbers of points. `None` above `most` of them, where it is no help.
pub(super) fn change(
    (of, numbers): (&Tier, &[u32]),
    (tier, names, new_numbers): (&Tier, &Names, &[u32]),
    most: usize,
) -> Option<RingEdit> {
    let mut formers = Formers::new(of, numbers);
    let mut edit = RingEdit::default();
    let mut renamed: Vec<u32> = vec![0; numbers.len()];
    let mut is_renamed = false;
    for (first, &number) in names.firsts().zip(new_numbers) {
        let backend = tier.backend(first);
        let former = formers.take(name(backend));
        let stays = former.filter(|&former| {
            let same_host = of.backend(former).unix_path() == backend.unix_path();
            same_host && numbers[former.as_usize()] == number
        });
        if let Some(former) = stays {
            renamed[former.as_usize()] = first.get();
            is_renamed |= former != first;
            continue;
        }
        if let Some(former) = former {
            edit.gone
                .extend(points(of, former, numbers[former.as_usize()]));
        }
        edit.new.extend(points(tier, first, number));
        if edit.gone.len() + edit.new.len() > most {
            return None;
        }
    }
    for former in formers.left() {
        edit.gone
            .extend(points(of, former, numbers[former.as_usize()]));
        if edit.gone.len() + edit.new.len() > most {
            return None;
        }
    }
    edit.renamed = is_renamed.then_some(renamed);
    Some(edit)
}

/// The names of the former tier, each to be found once. They mostly have the same order: so the search tries the name after
/// the last one found, and searches by name only if that is not the one.
struct Formers<'a> {
    tier: &'a Tier,
    firsts: Vec<Option<BackendIndex>>,
    next: usize,
    by_name: Option<BTreeMap<Name<'a>, usize>>,
}

impl<'a> Formers<'a> {
    fn new(tier: &'a Tier, numbers: &[u32]) -> Self {
        let firsts = tier.indices().zip(numbers);
        let firsts = firsts.filter(|(_, number)| **number > 0);
        Self {
            tier,
            firsts: firsts.map(|(first, _)| Some(first)).collect(),
            next: 0,
            by_name: None,
        }
    }

    fn take(&mut self, wanted: Name<'a>) -> Option<BackendIndex> {
        let tier = self.tier;
        let name_of = |first: BackendIndex| name(tier.backend(first));
        let next = self.firsts.get(self.next).copied().flatten();
        if next.is_none_or(|next| name_of(next) != wanted) {
            let firsts = &self.firsts;
            let by_name = self.by_name.get_or_insert_with(|| {
                let numbered = (0..).zip(firsts);
                numbered
                    .filter_map(|(at, first)| Some((name_of((*first)?), at)))
                    .collect()
            });
            self.next = *by_name.get(&wanted)?;
        }
        let found = self.firsts[self.next].take();
        self.next += 1;
        found
    }

    fn left(self) -> impl Iterator<Item = BackendIndex> {
        self.firsts.into_iter().flatten()
    }
}
