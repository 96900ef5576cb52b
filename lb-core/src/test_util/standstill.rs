//! A policy whose first pick stands still at its first question until it is let go.

use std::sync::Arc;

use crate::pick::context::PickContext;
use crate::pick::gate::Gate;
use crate::policy::{Picker, Policy, Tracking};
use crate::tiers::tier::{BackendIndex, Tier};

#[derive(Debug)]
pub(crate) struct Standstill {
    policy: Arc<dyn Policy>,
    gate: Arc<Gate>,
}

impl Standstill {
    pub(crate) fn new(policy: Arc<dyn Policy>) -> (Self, Arc<Gate>) {
        let gate = Arc::new(Gate::new());
        let standstill = Self {
            policy,
            gate: Arc::clone(&gate),
        };
        (standstill, gate)
    }
}

impl Policy for Standstill {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn tracking(&self, tier: &Tier) -> Tracking {
        self.policy.tracking(tier)
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(StandstillPicker {
            picker: self.policy.compile(tier),
            gate: Arc::clone(&self.gate),
        })
    }
}

#[derive(Debug)]
struct StandstillPicker {
    picker: Box<dyn Picker>,
    gate: Arc<Gate>,
}

impl Picker for StandstillPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        if self.gate.is_first() {
            cx.stop_at(Arc::clone(&self.gate));
        }
        let picked = self.picker.pick(cx);
        // Of a policy that asked nothing.
        cx.stop();
        picked
    }
}
