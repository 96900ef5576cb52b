//! Which way of moving bytes suits a direction.

use crate::config::Splice;

/// A transfer of this length or more speaks for a pipe.
const LONG: usize = 32 * 1024;

/// A transfer below this speaks for copying. splice(2) costs more than a copy of a few pages.
const SHORT: usize = 16 * 1024;

/// How many transfers in a row have to speak for the other way.
const IN_A_ROW: u8 = 4;

/// Watches the lengths of a direction's transfers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    splice: Splice,
    is_long: bool,
    dissent: u8,
}

impl Gauge {
    /// Begins with copying.
    pub(super) const fn new(splice: Splice) -> Self {
        Self {
            splice,
            is_long: false,
            dissent: 0,
        }
    }

    /// Whether the next transfer should go through a pipe.
    pub(super) const fn wants_pipe(&self) -> bool {
        self.is_long
    }

    /// Takes note of a transfer of `n` bytes.
    pub(super) fn note(&mut self, n: usize) {
        let dissents = if self.is_long {
            n < SHORT
        } else {
            n >= LONG && self.splice == Splice::Auto
        };
        self.dissent = if dissents { self.dissent + 1 } else { 0 };
        if self.dissent == IN_A_ROW {
            self.is_long = !self.is_long;
            self.dissent = 0;
        }
    }

    /// There is no pipe now: copies, and asks again after as many long transfers.
    pub(super) fn copy(&mut self) {
        *self = Self::new(self.splice);
    }

    /// There will be no pipe: copies from now on.
    pub(super) fn forgo_pipes(&mut self) {
        *self = Self::new(Splice::Off);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(gauge: &mut Gauge, transfers: &[usize]) -> bool {
        transfers.iter().for_each(|&n| gauge.note(n));
        gauge.wants_pipe()
    }

    #[test]
    fn it_follows_what_the_transfers_say_four_times_in_a_row() {
        let mut gauge = Gauge::new(Splice::Auto);
        assert!(!after(&mut gauge, &[LONG; 3]));
        assert!(!after(&mut gauge, &[LONG - 1, LONG, LONG, LONG]));
        assert!(after(&mut gauge, &[LONG]));
        assert!(after(&mut gauge, &[1, 1, 1, SHORT, 1, 1, 1]));
        assert!(!after(&mut gauge, &[1]));
    }

    #[test]
    fn a_missing_pipe_is_asked_for_again_and_one_that_cannot_be_is_not() {
        let mut gauge = Gauge::new(Splice::Auto);
        assert!(after(&mut gauge, &[LONG; 4]));
        gauge.copy();
        assert!(!gauge.wants_pipe());
        assert!(after(&mut gauge, &[LONG; 4]));
        gauge.forgo_pipes();
        assert!(!after(&mut gauge, &[LONG; 100]));
        assert!(!after(&mut Gauge::new(Splice::Off), &[LONG; 100]));
    }
}
