//! The difference between what runs and what a reload describes, for listeners and upstreams alike.

use std::collections::HashMap;
use std::hash::Hash;

use super::report::Changes;

/// What a reload does with one description.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DiffStep {
    /// Nothing that runs has its name.
    Add,
    /// The running one with this index stays as it is.
    Keep(usize),
    /// The running one with this index has its name and changes.
    Change(usize),
}

impl DiffStep {
    /// The index of the running one that stays or changes.
    pub(crate) const fn running(self) -> Option<usize> {
        match self {
            Self::Add => None,
            Self::Keep(i) | Self::Change(i) => Some(i),
        }
    }
}

/// What a reload does with all descriptions.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Diff {
    /// One step for each description, in their order.
    pub(crate) steps: Vec<DiffStep>,
    /// The indices of the running ones that no description names.
    pub(crate) removed: Vec<usize>,
}

/// Compares `running` and `described`, both given by their names, and decides with `is_same` of a running and a described
/// index whether that pair is kept.
///
/// A description names at most one running item, and no other description names the same one. First names take precedence
/// over second names. Of several running items with one name, one that is the same is taken, else the first.
///
/// O(names), apart from items that share a name: `is_same` is called for each pair of these.
pub(crate) fn diff<N: Eq + Hash>(
    running: &[Vec<N>],
    described: &[Vec<N>],
    is_same: impl Fn(usize, usize) -> bool,
) -> Diff {
    let mut by_name: HashMap<&N, Vec<usize>> = HashMap::new();
    for (i, names) in running.iter().enumerate() {
        for name in names {
            by_name.entry(name).or_default().push(i);
        }
    }
    let mut steps = vec![DiffStep::Add; described.len()];
    let mut is_found = vec![false; running.len()];
    let rounds = described.iter().map(Vec::len).max().unwrap_or(0);
    for (round, only_same) in (0..rounds).flat_map(|round| [(round, true), (round, false)]) {
        for (j, names) in described.iter().enumerate() {
            let Some(name) = names.get(round).filter(|_| steps[j] == DiffStep::Add) else {
                continue;
            };
            let mut candidates = by_name.get(name).into_iter().flatten().copied();
            let Some(i) = candidates.find(|&i| !is_found[i] && (!only_same || is_same(i, j)))
            else {
                continue;
            };
            is_found[i] = true;
            // Those that are the same were found in the pass before.
            steps[j] = match only_same {
                true => DiffStep::Keep(i),
                false => DiffStep::Change(i),
            };
        }
    }
    Diff {
        steps,
        removed: (0..running.len()).filter(|&i| !is_found[i]).collect(),
    }
}

impl<T> Changes<T> {
    /// Notes that `step` was done with `item`.
    pub(crate) fn note(&mut self, step: DiffStep, item: T) {
        let list = match step {
            DiffStep::Add => &mut self.added,
            DiffStep::Keep(_) => &mut self.kept,
            DiffStep::Change(_) => &mut self.changed,
        };
        list.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&[&'static str]]) -> Vec<Vec<&'static str>> {
        names.iter().map(|names| names.to_vec()).collect()
    }

    #[test]
    fn each_description_is_added_kept_or_changed_and_the_rest_is_removed() {
        let running = named(&[&["a"], &["b"], &["c"]]);
        let described = named(&[&["d"], &["c"], &["a"]]);
        let Diff { steps, removed } = diff(&running, &described, |i, _| i == 0);
        assert_eq!(
            steps,
            [DiffStep::Add, DiffStep::Change(2), DiffStep::Keep(0)]
        );
        assert_eq!(removed, [1]);
    }

    #[test]
    fn of_two_of_one_name_the_same_one_is_kept_wherever_it_stands() {
        let [one, two] = [named(&[&["a"]]), named(&[&["a"], &["a"]])];
        let added_before = diff(&one, &two, |_, j| j == 1);
        assert_eq!(added_before.steps, [DiffStep::Add, DiffStep::Keep(0)]);
        let removed_before = diff(&two, &one, |i, _| i == 1);
        assert_eq!(removed_before.steps, [DiffStep::Keep(1)]);
        assert_eq!(removed_before.removed, [0]);
        let swapped = diff(&two, &two, |i, j| i != j);
        assert_eq!(swapped.steps, [DiffStep::Keep(1), DiffStep::Keep(0)]);
    }

    #[test]
    fn two_of_one_name_are_distinguished_by_their_order() {
        let running = named(&[&["a"], &["a"]]);
        let described = named(&[&["a"], &["a"], &["a"]]);
        let Diff { steps, removed } = diff(&running, &described, |i, j| i == j);
        assert_eq!(steps, [DiffStep::Keep(0), DiffStep::Keep(1), DiffStep::Add]);
        assert_eq!(removed, [0; 0]);
    }

    #[test]
    fn first_names_take_precedence() {
        let running = named(&[&["1", "a"], &["2", "a"]]);
        let described = named(&[&["3", "a"], &["1", "a"]]);
        let Diff { steps, removed } = diff(&running, &described, |i, j| (i, j) == (0, 1));
        assert_eq!(steps, [DiffStep::Change(1), DiffStep::Keep(0)]);
        assert_eq!(removed, [0; 0]);
    }
}
