//! Sessions split among upstreams by weight.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use lb_core::{Escaped, SplitMix64, WeightedSplit};

use super::route_action::RouteAction;
use crate::upstream::Upstream;

/// Sessions split among targets in turns, each target as often as its weight says; see [`RouteAction::Split`].
///
/// A target is an upstream or a refusal. So a route with a part that cannot be served refuses sessions in proportion to
/// the weight of that part, and the others get no more than their share, as the Gateway API of Kubernetes demands of
/// `backendRefs`. An upstream without a backend keeps its turns too: its sessions are refused with
/// [`NoBackend`](crate::events::CloseReason::NoBackend).
///
/// The shares are exact over every [lap](lb_core::WeightedSplit::lap), all workers together. A program that reloads lets the
/// new split [continue](Self::continuing) the old one, so that the turns go on. One atomic addition for each session.
///
/// ```
/// # use std::sync::Arc;
/// use lb_proxy::routing::{RouteAction, Split, SplitTarget};
/// use lb_proxy::{Listener, Upstream};
///
/// # #[allow(dead_code)]
/// # fn example(stable: &Upstream, canary: &Upstream) -> Result<Listener, Box<dyn std::error::Error>> {
/// let split = Arc::new(Split::new([
///     (95, SplitTarget::Upstream(stable.clone())),
///     (5, SplitTarget::Upstream(canary.clone())),
/// ]));
/// let listener = Listener::new("[::]:446".parse()?, stable);
/// Ok(listener.route(move |_| RouteAction::Split(Arc::clone(&split))))
/// # }
/// ```
#[doc(alias = "weighted_clusters", alias = "split_clients")]
#[derive(Debug)]
pub struct Split {
    turns: Arc<WeightedSplit>,
    shares: Box<[(u32, SplitTarget)]>,
}

/// What has turns in a [`Split`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SplitTarget {
    /// The client is refused, for a reason that is [logged](crate::events::FAILURES_TARGET).
    Refuse(Cow<'static, str>),
    /// An upstream. One that no listener names must be made known with
    /// [`ProxyBuilder::upstream`](crate::ProxyBuilder::upstream).
    Upstream(Upstream),
}

impl Split {
    /// A split by these weights. A target of weight 0 has no turn; if all weights are 0, every session is refused. The first
    /// turn is random, so that replicas do not begin with the same target. Compiling costs up to 4096 steps for each
    /// target, at most some milliseconds for a long lap.
    pub fn new(shares: impl IntoIterator<Item = (u32, SplitTarget)>) -> Self {
        Self::with_seed(RandomState::new().hash_one(0_u64), shares)
    }

    /// The same with a seed that decides the first turn, for tests and simulations.
    pub fn with_seed(seed: u64, shares: impl IntoIterator<Item = (u32, SplitTarget)>) -> Self {
        let shares: Box<[_]> = shares.into_iter().collect();
        let weights = shares.iter().map(|(weight, _)| *weight);
        Self {
            turns: Arc::new(WeightedSplit::new(weights, &mut SplitMix64::new(seed))),
            shares,
        }
    }

    /// The same split at the turn of `previous`, with which it shares the turns from then on, if the weights are equal. For a reload that
    /// describes other targets, or the same ones anew.
    #[must_use]
    pub fn continuing(mut self, previous: &Self) -> Self {
        let weights = |split: &Self| {
            split
                .shares
                .iter()
                .map(|(weight, _)| *weight)
                .collect::<Vec<_>>()
        };
        if weights(&self) == weights(previous) {
            self.turns = Arc::clone(&previous.turns);
        }
        self
    }

    /// The weights and targets.
    pub fn shares(&self) -> &[(u32, SplitTarget)] {
        &self.shares
    }

    /// Takes a turn.
    pub(crate) fn choose(&self) -> RouteAction {
        self.action(self.turns.choose())
    }

    /// What the next session gets. Takes no turn.
    #[cfg(feature = "admin")]
    pub(crate) fn peek(&self) -> RouteAction {
        self.action(self.turns.peek())
    }

    fn action(&self, target: Option<usize>) -> RouteAction {
        match target.map(|target| &self.shares[target].1) {
            None => RouteAction::Refuse("all weights of the split are 0".into()),
            Some(SplitTarget::Refuse(reason)) => RouteAction::Refuse(reason.clone()),
            Some(SplitTarget::Upstream(upstream)) => RouteAction::Upstream(upstream.clone()),
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum: u64 = self
            .shares
            .iter()
            .map(|(weight, _)| u64::from(*weight))
            .sum();
        write!(f, "splits {sum} turns: ")?;
        for (i, (weight, target)) in self.shares.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match target {
                SplitTarget::Refuse(reason) => {
                    write!(f, "{comma}{weight} refused ({})", Escaped(reason))?;
                }
                SplitTarget::Upstream(upstream) => {
                    write!(f, "{comma}{weight} to \"{}\"", Escaped(upstream.name()))?;
                }
            }
        }
        Ok(())
    }
}
