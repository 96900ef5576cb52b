//! Chooses between splice(2) and copying for one direction.

use crate::config::Splice;

/// A transfer of at least this many bytes counts in favour of splicing.
const LONG: usize = 32 * 1024;

/// A transfer of fewer bytes counts in favour of copying: splice(2) costs more than a copy of a few pages.
const SHORT: usize = 16 * 1024;

/// How many transfers in a row must favour the other mode before the direction changes to it.
const IN_A_ROW: u8 = 4;

/// Chooses the mode of a direction by the lengths of its transfers.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransferMode {
    splice: Splice,
    is_long: bool,
    dissent: u8,
}

impl TransferMode {
    /// Starts with copying.
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

    /// Records a transfer of `n` bytes.
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

    /// Changes to copying because no pipe is free. After [`IN_A_ROW`] long transfers the direction asks for one again.
    pub(super) fn copy(&mut self) {
        *self = Self::new(self.splice);
    }

    /// Changes to copying for good, because the system cannot splice.
    pub(super) fn forgo_pipes(&mut self) {
        *self = Self::new(Splice::Off);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mode: &mut TransferMode, transfers: &[usize]) -> bool {
        transfers.iter().for_each(|&n| mode.note(n));
        mode.wants_pipe()
    }

    #[test]
    fn the_mode_changes_after_four_transfers_in_a_row_that_favour_the_other() {
        let mut mode = TransferMode::new(Splice::Auto);
        assert!(!after(&mut mode, &[LONG; 3]));
        assert!(!after(&mut mode, &[LONG - 1, LONG, LONG, LONG]));
        assert!(after(&mut mode, &[LONG]));
        assert!(after(&mut mode, &[1, 1, 1, SHORT, 1, 1, 1]));
        assert!(!after(&mut mode, &[1]));
    }

    #[test]
    fn a_missing_pipe_is_requested_again_and_an_unsupported_one_is_not() {
        let mut mode = TransferMode::new(Splice::Auto);
        assert!(after(&mut mode, &[LONG; 4]));
        mode.copy();
        assert!(!mode.wants_pipe());
        assert!(after(&mut mode, &[LONG; 4]));
        mode.forgo_pipes();
        assert!(!after(&mut mode, &[LONG; 100]));
        assert!(!after(&mut TransferMode::new(Splice::Off), &[LONG; 100]));
    }
}
