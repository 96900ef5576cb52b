//! Promises of a policy beyond the contract of all policies.

/// What the suite expects of a policy.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Expectations {
    /// How its picks follow the weights while every backend is idle.
    pub share: Share,
    /// Whether it considers connections in flight. Default: [`Load::Ignored`].
    pub load: Load,
    /// What a pick costs while every backend is eligible and of equal weight. Default: [`Cost::Linear`].
    pub cost: Cost,
    /// Whether it follows the order of the snapshot where it hashes keys. Default: [`ListOrder::Ignored`].
    pub list_order: ListOrder,
}

impl Expectations {
    /// Expects `share`, everything else at its default.
    pub const fn new(share: Share) -> Self {
        Self {
            share,
            load: Load::Ignored,
            cost: Cost::Linear,
            list_order: ListOrder::Ignored,
        }
    }

    /// Sets [`list_order`](field@Self::list_order).
    #[must_use]
    pub const fn list_order(mut self, order: ListOrder) -> Self {
        self.list_order = order;
        self
    }

    /// Sets [`load`](field@Self::load).
    #[must_use]
    pub const fn load(mut self, load: Load) -> Self {
        self.load = load;
        self
    }

    /// Sets [`cost`](field@Self::cost).
    #[must_use]
    pub const fn cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }
}

/// How picks follow the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Share {
    /// By the key: equal keys go to the same backend while it is eligible, and over many keys no backend's share
    /// is off by more than this part of it (0.3 for 30 %), chance aside.
    ByKey(f64),
    /// Over a lap, which is as many picks as the sum of the weights, each backend has as many as its weight.
    Exact,
    /// Not at all, or not so that it could be checked.
    None,
    /// As independent draws by weight would: within the bounds of a chi-square test.
    OnAverage,
}

/// Whether picks depend on connections in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Load {
    /// A backend with ten connections gets no more while others of its weight are idle.
    Avoided,
    /// Nothing is expected.
    Ignored,
}

/// Whether the order in which sources list backends decides where keys go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ListOrder {
    /// It does not: replicas agree on each key although their sources list the backends in different orders.
    Ignored,
    /// It does, as with nginx's `hash`: replicas need the same list.
    Significant,
}

/// The cost of a pick, in questions to its [`PickContext`](crate::PickContext).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Cost {
    /// At most 64, however many backends there are.
    Constant,
    /// At most 64, and 16 for each backend.
    Linear,
    /// At most 64, and 48 for each doubling of their number.
    Logarithmic,
}

impl Cost {
    /// The most questions for `n` eligible backends of equal weight.
    pub(crate) fn limit(self, n: usize) -> u64 {
        match self {
            Self::Constant => 64,
            Self::Linear => 64 + 16 * n as u64,
            Self::Logarithmic => 64 + 48 * u64::from(n.next_power_of_two().ilog2()),
        }
    }
}

/// The most questions for `n` backends in any state: a bounded number of attempts and some passes over all.
pub(crate) fn worst_cost(n: usize) -> u64 {
    (1 << 14) + 16 * n as u64
}
