//! Least connections, by weight.
//!
//! The backend with the fewest connections in flight for its weight is picked; ties are broken by smooth weighted
//! round robin among the tied, as in nginx (`ngx_stream_upstream_least_conn_module.c`). Ratios are compared by
//! cross-multiplication, without rounding.
//!
//! Cost: O(n) a pick, no memory beyond the sequence for ties.
//!
//! Not for thousands of backends at high connection rates ([`P2c`](crate::policy::P2c) comes close at a constant
//! cost), and not for short connections, which all tie at zero.

use crate::least::Least;
use crate::pick::PickContext;
use crate::policy::{Picker, Policy};
use crate::tier::{BackendIndex, Tier};

/// Fewest connections in flight for its weight.
#[doc(alias = "leastconn", alias = "least_request", alias = "wlc")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastConn;

impl LeastConn {
    /// The policy; it has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Policy for LeastConn {
    fn name(&self) -> &'static str {
        "least_conn"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(LeastConnPicker {
            least: Least::new(tier),
        })
    }
}

#[derive(Debug)]
struct LeastConnPicker {
    least: Least,
}

impl Picker for LeastConnPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        self.least.pick(cx, |cx, i| cx.in_flight(i).into())
    }
}
