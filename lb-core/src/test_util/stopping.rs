//! A policy that stops its first pick at the first question until the test lets it continue.

use std::sync::Arc;

use crate::pick::context::PickContext;
use crate::pick::gate::Gate;
use crate::policy::{Picker, Policy, Tracking};
use crate::tiers::tier::{BackendIndex, Tier};

#[derive(Debug)]
pub(crate) struct Stopping {
    policy: Arc<dyn Policy>,
    gate: Arc<Gate>,
}

impl Stopping {
    pub(crate) fn new(policy: Arc<dyn Policy>) -> (Self, Arc<Gate>) {
        let gate = Arc::new(Gate::new());
        let stopping = Self {
            policy,
            gate: Arc::clone(&gate),
        };
        (stopping, gate)
    }
}

impl Policy for Stopping {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn tracking(&self, tier: &Tier) -> Tracking {
        self.policy.tracking(tier)
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(StoppingPicker {
            picker: self.policy.compile(tier),
            gate: Arc::clone(&self.gate),
        })
    }
}

#[derive(Debug)]
struct StoppingPicker {
    picker: Box<dyn Picker>,
    gate: Arc<Gate>,
}

impl Picker for StoppingPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        if self.gate.is_first() {
            cx.stop_at(Arc::clone(&self.gate));
        }
        let picked = self.picker.pick(cx);
        // For a policy that asked nothing.
        cx.stop();
        picked
    }
}
