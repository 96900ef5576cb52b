//! The contract of every policy, property by property.
//!
//! Each function panics with a message that names the policy and what it did. `policy` makes a new instance whenever
//! it is called.

use std::sync::Arc;

use super::expectations::Expectations;
use crate::policy::Policy;

mod keys;
mod replay;
mod shares;
mod threads;
mod work;

pub use keys::{keys_that_are_alike_are_spread, replicas_agree_in_any_order};
pub use replay::{interleaving, interleavings, the_same_inputs_give_the_same_answers};
pub use shares::{
    a_dead_heavy_backend_starves_no_other, equal_keys_meet_again, shares_follow_the_weights,
    shares_stay_in_proportion_while_some_are_out, the_only_eligible_backend_is_found,
};
pub use threads::{a_stopped_pick_blocks_no_other_thread, threads_share_without_loss};
pub use work::{load_is_seen, picks_allocate_nothing, work_is_bounded};

/// Checks all properties, with 100 random interleavings. Takes some seconds without optimisation.
pub fn check(policy: impl Fn() -> Arc<dyn Policy>, expectations: Expectations) {
    the_only_eligible_backend_is_found(&policy);
    shares_follow_the_weights(&policy, expectations.share);
    shares_stay_in_proportion_while_some_are_out(&policy, expectations.share);
    a_dead_heavy_backend_starves_no_other(&policy, expectations.share);
    equal_keys_meet_again(&policy, expectations.share);
    keys_that_are_alike_are_spread(&policy, expectations.share);
    replicas_agree_in_any_order(&policy, expectations.share, expectations.list_order);
    load_is_seen(&policy, expectations.load);
    work_is_bounded(&policy, expectations.cost);
    the_same_inputs_give_the_same_answers(&policy, 0..20);
    interleavings(&policy, 0..100);
    threads_share_without_loss(&policy);
    a_stopped_pick_blocks_no_other_thread(&policy);
}
