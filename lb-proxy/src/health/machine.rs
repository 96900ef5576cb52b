//! From results to a state: rise, fall and the initial state. No clock, no I/O.

use super::settings::{CheckSettings, InitialState};
use super::status::CheckState;

/// What a check has decided of one backend, and the results that may change it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Machine {
    state: CheckState,
    /// The last result, if there was one: whether the probe passed.
    last: Option<bool>,
    /// How many results in a row equalled it.
    consecutive: u32,
}

impl Machine {
    pub(crate) const fn new(state: CheckState) -> Self {
        Self {
            state,
            last: None,
            consecutive: 0,
        }
    }

    pub(crate) const fn state(self) -> CheckState {
        self.state
    }

    pub(crate) const fn consecutive(self) -> u32 {
        self.consecutive
    }

    /// Whether the state is not known yet, or the last results contradict it.
    pub(crate) fn is_in_doubt(self) -> bool {
        match self.state {
            CheckState::Unchecked => true,
            CheckState::Up => self.last == Some(false),
            CheckState::Down => self.last == Some(true),
        }
    }

    /// Takes a result. Returns whether the state changed.
    pub(crate) fn observe(&mut self, passed: bool, settings: &CheckSettings) -> bool {
        self.consecutive = match self.last == Some(passed) {
            true => self.consecutive.saturating_add(1),
            false => 1,
        };
        self.last = Some(passed);
        let (next, all) = match passed {
            true => (CheckState::Up, settings.rise),
            false => (CheckState::Down, settings.fall),
        };
        let needed = match (self.state, settings.initial, passed) {
            (CheckState::Unchecked, InitialState::FullyDown, true)
            | (CheckState::Unchecked, InitialState::FullyUp, false) => all,
            (CheckState::Unchecked, ..) => 1,
            _ => all,
        };
        let changes = self.state != next && self.consecutive >= needed;
        if changes {
            self.state = next;
        }
        changes
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    fn settings(rise: u32, fall: u32, initial: InitialState) -> CheckSettings {
        let settings = CheckSettings::default().initial(initial);
        settings.rise(rise).fall(fall)
    }

    /// The states after each of `results`, a letter each: `+` passed, `-` failed.
    fn states(settings: &CheckSettings, begin: CheckState, results: &str) -> String {
        let mut machine = Machine::new(begin);
        let after = results.chars().map(|result| {
            machine.observe(result == '+', settings);
            match (machine.state(), machine.is_in_doubt()) {
                (CheckState::Up, false) => 'U',
                (CheckState::Up, true) => 'u',
                (CheckState::Down, false) => 'D',
                (CheckState::Down, true) => 'd',
                (CheckState::Unchecked, _) => '?',
            }
        });
        after.collect()
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        let settings = settings(2, 3, InitialState::Up);
        let after = states(&settings, CheckState::Up, "+--+---+-++--+");
        assert_eq!(after, "UuuUuuDdDdUuuU");
    }

    #[test]
    fn the_initial_state_says_how_many_results_decide() {
        use CheckState::Unchecked;
        for (initial, passing, failing) in [
            (InitialState::Up, "UU", "DD"),
            (InitialState::Down, "UU", "DD"),
            (InitialState::FullyUp, "UU", "?D"),
            (InitialState::FullyDown, "?U", "DD"),
        ] {
            let settings = settings(2, 2, initial);
            assert_eq!(states(&settings, Unchecked, "++"), passing, "{initial:?}");
            assert_eq!(states(&settings, Unchecked, "--"), failing, "{initial:?}");
        }
    }

    fn initial() -> impl Strategy<Value = InitialState> {
        use InitialState::{Down, FullyDown, FullyUp, Up};
        prop::sample::select(vec![Down, FullyDown, FullyUp, Up])
    }

    proptest! {
        /// The state follows from the results alone: it is that of the last run that was long enough.
        #[test]
        fn the_state_is_that_of_the_last_long_run(
            (rise, fall) in (1..5_u32, 1..5_u32),
            initial in initial(),
            results in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let settings = settings(rise, fall, initial);
            let mut machine = Machine::new(CheckState::Up);
            let (mut state, mut run, mut transitions) = (CheckState::Up, Vec::new(), 0);
            for passed in results {
                run.retain(|&before| before == passed);
                run.push(passed);
                let before = state;
                if passed && run.len() >= rise as usize {
                    state = CheckState::Up;
                } else if !passed && run.len() >= fall as usize {
                    state = CheckState::Down;
                }
                transitions += u32::from(machine.observe(passed, &settings));
                prop_assert_eq!(machine.state(), state);
                prop_assert_eq!(machine.consecutive() as usize, run.len());
                prop_assert!(before == state || !machine.is_in_doubt());
            }
            prop_assert!(transitions <= 60 / rise.min(fall));
        }

        /// A backend leaves `Unchecked` after at most `max(rise, fall)` equal results, and never returns to it.
        #[test]
        fn equal_results_decide(
            (rise, fall) in (1..5_u32, 1..5_u32),
            initial in initial(),
            passed in any::<bool>(),
        ) {
            let settings = settings(rise, fall, initial);
            let mut machine = Machine::new(CheckState::Unchecked);
            let changes = (0..rise.max(fall)).filter(|_| machine.observe(passed, &settings));
            prop_assert_eq!(changes.count(), 1);
            let decided = if passed { CheckState::Up } else { CheckState::Down };
            prop_assert_eq!(machine.state(), decided);
        }
    }
}
