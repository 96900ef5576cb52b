//! Generators that are not random.

use crate::rng::Rng;

/// Counts up by a fixed step and wraps: with step 0, always the same draw.
#[derive(Clone, Debug)]
pub struct StepRng {
    next: u64,
    step: u64,
}

impl StepRng {
    /// Draws `first`, `first + step` and so on.
    pub const fn new(first: u64, step: u64) -> Self {
        Self { next: first, step }
    }
}

impl Rng for StepRng {
    fn next_u64(&mut self) -> u64 {
        let drawn = self.next;
        self.next = drawn.wrapping_add(self.step);
        drawn
    }
}

/// Panics if a pick draws so often that it may never end.
pub(crate) struct Rationed<'a> {
    pub(crate) rng: &'a mut dyn Rng,
    pub(crate) left: u64,
}

impl Rng for Rationed<'_> {
    fn next_u64(&mut self) -> u64 {
        assert!(self.left > 0, "a pick draws without end");
        self.left -= 1;
        self.rng.next_u64()
    }
}
