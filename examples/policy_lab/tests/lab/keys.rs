//! The count of keys that move, with policies of known results.

use std::sync::Arc;

use lb_core::policy::PolicyKind;
use lb_core::{BackendIndex, PickContext, Picker, Policy, Tier};
use policy_lab::{Run, Scenario, simulate};

/// Four backends, one of which leaves.
const LEAVE: &str = r#"
    duration = "1s"
    arrivals = { rate = 100 }
    backends = [{ name = "a", count = 4, service = { constant = "1ms" } }]
    events = [{ at = "500ms", action = "leave", target = "a-2" }]
"#;

/// Picks by a hash of the key: modulo the number of backends, or the backend with the highest hash (rendezvous).
#[derive(Clone, Copy, Debug)]
enum Hashing {
    Modulo,
    Rendezvous,
}

impl Policy for Hashing {
    fn name(&self) -> &'static str {
        "hashing"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let hash = |i| fnv(tier.backend(i).addr.to_string().bytes());
        let seeds = tier.indices().map(hash).collect();
        Box::new(HashingPicker { how: *self, seeds })
    }
}

#[derive(Debug)]
struct HashingPicker {
    how: Hashing,
    seeds: Vec<u64>,
}

impl Picker for HashingPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let key = cx.key()?;
        let found = match self.how {
            Hashing::Modulo => fnv(key.iter().copied()) as usize % self.seeds.len(),
            Hashing::Rendezvous => {
                let mixed =
                    |i: &usize| fnv(key.iter().copied().chain(self.seeds[*i].to_le_bytes()));
                (0..self.seeds.len()).max_by_key(mixed)?
            }
        };
        Some(BackendIndex::new(u32::try_from(found).ok()?))
    }
}

/// FNV-1a with one more mixing step, because its high bits are weak.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, step);
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 7
}

fn run(policy: Arc<dyn Policy>) -> Run {
    let scenario = Scenario::parse("test", LEAVE).expect("the scenario is right");
    simulate(&scenario, policy, 1)
}

fn assert_close(found: Option<f64>, theory: f64) {
    let close = found.is_some_and(|found| (found - theory).abs() < 0.03);
    assert!(close, "{found:?}, expected {theory}");
}

#[test]
fn rendezvous_moves_the_least_keys_and_modulo_most_keys() {
    let rendezvous = run(Arc::new(Hashing::Rendezvous));
    assert!(!rendezvous.ignores_keys());
    assert!(rendezvous.keys_moved_idle < f64::EPSILON);
    assert_close(rendezvous.keys_moved, 1.0 / 4.0);

    // A key stays if its remainders by 4 and by 3 name one backend: 0 does, and 2 and 3 became 1 and 2.
    // That is 3 of the 12 pairs of remainders.
    let modulo = run(Arc::new(Hashing::Modulo));
    assert!(modulo.keys_moved_idle < f64::EPSILON);
    assert_close(modulo.keys_moved, 1.0 - 3.0 / 12.0);
}

#[test]
fn policies_that_ignore_keys_move_keys_without_a_change() {
    for policy in [PolicyKind::Random, PolicyKind::WeightedRoundRobin] {
        let run = run(policy.build());
        assert!(run.ignores_keys(), "{policy}");
        assert_close(Some(run.keys_moved_idle), 1.0 - 1.0 / 4.0);
        // Of the three backends that stay, a key gets its backend again with a chance of one third.
        assert_close(run.keys_moved, 1.0 - 3.0 / 4.0 / 3.0);
    }
}
