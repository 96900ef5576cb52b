//! The contract of a policy as a test suite, for the policies of this crate and for yours.
//!
//! [`contract::check`] checks all that a policy promises, and panics with the broken property; each property can also
//! be checked by itself. All is seeded: a suite that passes once always passes. Only with the feature `test-util`.
//!
//! ```
//! use std::sync::Arc;
//! use lb_core::test_util::{Cost, Expectations, Share, contract};
//! use lb_core::{BackendIndex, PickContext, Picker, Policy, Tier};
//!
//! /// The first eligible backend, whatever its weight.
//! #[derive(Debug)]
//! struct Foremost;
//!
//! impl Policy for Foremost {
//!     fn name(&self) -> &'static str {
//!         "foremost"
//!     }
//!
//!     fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
//!         Box::new(ForemostOf(tier.len().get()))
//!     }
//! }
//!
//! #[derive(Debug)]
//! struct ForemostOf(u32);
//!
//! impl Picker for ForemostOf {
//!     fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
//!         (0..self.0).map(BackendIndex::new).find(|&i| cx.is_eligible(i))
//!     }
//! }
//!
//! let expectations = Expectations::new(Share::None).cost(Cost::Constant);
//! contract::check(|| Arc::new(Foremost), expectations);
//! ```

pub mod contract;
mod expectations;
mod generator;
mod interleaving;
mod memory;
mod model;
mod rig;
mod step_rng;
mod stopping;
mod watched;

pub use expectations::{Cost, Expectations, ListOrder, Load, Share};
pub use interleaving::Event;
pub use step_rng::StepRng;
