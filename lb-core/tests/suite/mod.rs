//! The contract suite's check of allocations, with the allocator of this binary.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use allocation_counter::measure;
use lb_core::policy::PolicyKind;
use lb_core::test_util::contract;
use lb_core::{BackendIndex, PickContext, Picker, Policy, Tier};

fn allocations(run: &mut dyn FnMut()) -> u64 {
    let counted = measure(run);
    counted.count_total + counted.count_current.unsigned_abs()
}

#[test]
fn every_policy_passes() {
    for kind in PolicyKind::ALL {
        contract::picks_allocate_nothing(|| kind.build(), allocations);
    }
}

/// Sends a message for every pick.
#[derive(Debug)]
struct Tells(Sender<BackendIndex>);

impl Policy for Tells {
    fn name(&self) -> &'static str {
        "tells"
    }

    fn compile(&self, _: &Tier) -> Box<dyn Picker> {
        Box::new(Self(self.0.clone()))
    }
}

impl Picker for Tells {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let mut all = (0..7).map(BackendIndex::new);
        let found = all.find(|&i| cx.is_eligible(i))?;
        self.0.send(found).ok()?;
        Some(found)
    }
}

#[test]
#[should_panic(expected = "tells: picks allocate or free")]
fn a_policy_that_allocates_is_caught() {
    let (sender, _receiver) = channel();
    let policy = || Arc::new(Tells(sender.clone())) as Arc<dyn Policy>;
    contract::picks_allocate_nothing(policy, allocations);
}
