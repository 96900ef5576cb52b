//! Targets in the exact proportion of their weights.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lb_proxy::Upstream;
use lb_proxy::routing::RouteAction;

use crate::plan::{Destination, Targets};

/// Chooses the target of each connection by smooth weighted round robin, nginx's order: in every cycle of as many connections as the
/// weights sum up to, each target has exactly its weight.
///
/// O(targets), under a lock that is held for some nanoseconds.
pub(super) struct Chooser {
    targets: Vec<(u32, TargetAction)>,
    turns: Arc<Turns>,
}

/// The current weights of the targets: the position in the order, which outlives a reload.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Vec<i64>>);

/// Where the connections of a target go.
#[derive(Clone)]
enum TargetAction {
    Upstream(Upstream),
    Refuse(Arc<str>),
}

impl Chooser {
    /// Continues the order at `turns`, which belong to these `targets` alone.
    pub(super) fn new(
        targets: &Targets,
        upstreams: &BTreeMap<Arc<str>, Upstream>,
        turns: &Arc<Turns>,
    ) -> Self {
        let targets = targets.0.iter().filter(|target| target.weight > 0);
        let targets = targets.map(|target| {
            let action = match &target.destination {
                Destination::Refuse(reason) => TargetAction::Refuse(Arc::clone(reason)),
                Destination::Upstream(name) => match upstreams.get(name) {
                    Some(upstream) => TargetAction::Upstream(upstream.clone()),
                    None => TargetAction::Refuse(format!("there is no upstream {name}").into()),
                },
            };
            (target.weight, action)
        });
        let targets: Vec<_> = targets.collect();
        Self {
            targets,
            turns: Arc::clone(turns),
        }
    }

    /// The only upstream, if every connection goes to it.
    pub(super) fn only(&self) -> Option<&Upstream> {
        match &self.targets[..] {
            [(_, TargetAction::Upstream(upstream))] => Some(upstream),
            _ => None,
        }
    }

    /// The upstreams.
    pub(super) fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.targets.iter().filter_map(|(_, action)| match action {
            TargetAction::Upstream(upstream) => Some(upstream),
            TargetAction::Refuse(_) => None,
        })
    }

    /// Where the next connection goes.
    pub(super) fn choose(&self) -> RouteAction {
        match self.next() {
            None => RouteAction::Refuse("no target of the route has a weight".into()),
            Some(TargetAction::Upstream(upstream)) => RouteAction::Upstream(upstream.clone()),
            Some(TargetAction::Refuse(reason)) => RouteAction::Refuse(reason.to_string().into()),
        }
    }

    fn next(&self) -> Option<&TargetAction> {
        let total: i64 = self
            .targets
            .iter()
            .map(|(weight, _)| i64::from(*weight))
            .sum();
        // No code that can panic runs under the lock.
        let mut current = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.resize(self.targets.len(), 0);
        for (current, (weight, _)) in current.iter_mut().zip(&self.targets) {
            *current += i64::from(*weight);
        }
        // Of several with the greatest weight the first: `max_by_key` would return the last.
        let greatest = current.iter().copied().max()?;
        let chosen = current.iter().position(|weight| *weight == greatest)?;
        current[chosen] -= total;
        Some(&self.targets[chosen].1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::WeightedTarget;

    fn chooser(weights: &[u32]) -> Chooser {
        let targets = weights
            .iter()
            .enumerate()
            .map(|(i, weight)| WeightedTarget {
                weight: *weight,
                destination: Destination::Refuse(i.to_string().into()),
            });
        Chooser::new(
            &Targets(targets.collect()),
            &BTreeMap::new(),
            &Arc::default(),
        )
    }

    fn next(chooser: &Chooser) -> usize {
        match chooser.choose() {
            RouteAction::Refuse(reason) => reason.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_order_is_that_of_nginx() {
        let chooser = chooser(&[5, 1, 1]);
        let order: Vec<_> = (0..7).map(|_| next(&chooser)).collect();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn without_a_weight_every_connection_is_refused() {
        for weights in [&[][..], &[0], &[0, 0]] {
            let action = chooser(weights).choose();
            assert!(matches!(action, RouteAction::Refuse(reason) if reason.contains("no target")));
        }
    }

    proptest! {
        #[test]
        fn shares_are_exact(weights in prop::collection::vec(0_u32..100, 1..16), connections in 1_usize..2000) {
            let total: u32 = weights.iter().sum();
            prop_assume!(total > 0);
            let chooser = chooser(&weights);
            let positive: Vec<_> = (0..weights.len()).filter(|i| weights[*i] > 0).collect();
            let mut counts = vec![0_usize; weights.len()];
            for _ in 0..connections {
                counts[next(&chooser)] += 1;
            }
            for (i, weight) in weights.iter().enumerate() {
                let share = connections as f64 * f64::from(*weight) / f64::from(total);
                // Smooth weighted round robin is never as far off as the number of targets, and for few connections less.
                prop_assert!((counts[i] as f64 - share).abs() < positive.len() as f64, "{counts:?} {weights:?}");
                prop_assert!(*weight > 0 || counts[i] == 0);
            }
            // A whole cycle is exact.
            let mut counts = vec![0_u32; weights.len()];
            let whole = self::chooser(&weights);
            for _ in 0..total {
                counts[next(&whole)] += 1;
            }
            prop_assert_eq!(counts, weights);
        }

        #[test]
        fn the_greatest_weights_do_not_overflow(connections in 1_usize..100) {
            let chooser = chooser(&[u32::MAX; 16]);
            let mut counts = [0_usize; 16];
            for _ in 0..connections {
                counts[next(&chooser)] += 1;
            }
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }
}
