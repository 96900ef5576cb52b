//! The cost of a fault, over several runs.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::client::{Attempt, Outcome};
use crate::output::show;

/// Held by a run that measures: one fault at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What one run of a fault showed.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The longest time without a connection that was answered in time.
    pub(crate) gap: Duration,
    /// How long after the fault the last connection started that was not answered in time.
    pub(crate) last_failure: Duration,
    /// Connections that were refused.
    pub(crate) refused: usize,
    /// Connections that ended before their answer.
    pub(crate) unanswered: usize,
    /// Connections that took longer than [`QUICK`](crate::client::QUICK).
    pub(crate) slow: usize,
    /// How long two machines held the address.
    pub(crate) together: Duration,
    /// Sessions that ended, of those that were open at the fault.
    pub(crate) cut: usize,
}

impl Run {
    /// Counts the connections of a client at a fault at `since`.
    pub(crate) fn of(attempts: &[Attempt], since: Instant) -> Self {
        let good = attempts.iter().filter(|attempt| attempt.is_good());
        let good = good.map(|attempt| attempt.started).collect::<Vec<_>>();
        let gaps = good.windows(2).filter(|pair| pair[1] > since);
        let after = attempts
            .iter()
            .filter(|attempt| attempt.started > since - Duration::from_secs(1));
        let bad = after
            .filter(|attempt| !attempt.is_good())
            .collect::<Vec<_>>();
        let count = |outcome| {
            bad.iter()
                .filter(|attempt| attempt.outcome == outcome)
                .count()
        };
        let (refused, unanswered) = (count(Outcome::Refused), count(Outcome::Cut));
        Self {
            gap: gaps
                .map(|pair| pair[1] - pair[0])
                .max()
                .unwrap_or(Duration::MAX),
            refused,
            unanswered,
            slow: bad.len() - refused - unanswered,
            last_failure: last_failure(attempts, since),
            ..Self::default()
        }
    }
}

fn last_failure(attempts: &[Attempt], since: Instant) -> Duration {
    let bad = attempts.iter().filter(|attempt| !attempt.is_good());
    let last = bad.map(|attempt| attempt.started).max();
    last.map_or(Duration::ZERO, |last| last.saturating_duration_since(since))
}

/// Runs a fault as often as `LB_TEST_HA` says, or once, and prints a row: the shortest, the median and the longest time without a
/// connection that was answered in time, and medians of all else. `.ci/ha` makes a table of the rows.
///
/// Only a run that measures compares the median with `target`, because other tests run at the same time in all others.
#[track_caller]
pub(crate) fn measure(fault: &str, target: Target, mut run: impl FnMut() -> Run) {
    let _alone = is_measuring().then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    let runs = (0..number_of_runs()).map(|_| run()).collect::<Vec<_>>();
    let gap = median(&runs, |run| run.gap);
    let gaps = || runs.iter().map(|run| run.gap);
    show(&format!(
        "| {fault} | {} | {} | {} | {target} | {} | {} | {} | {} | {} |",
        seconds(gaps().min().unwrap()),
        seconds(gap),
        seconds(gaps().max().unwrap()),
        median(&runs, |run| run.refused),
        median(&runs, |run| run.unanswered),
        median(&runs, |run| run.slow),
        seconds(median(&runs, |run| run.together)),
        median(&runs, |run| run.cut),
    ));
    if is_measuring() {
        let is_reached = match target {
            Target::Gap(most) => gap <= most,
            Target::OneHolder {
                gap: most,
                together,
            } => gap <= most && median(&runs, |run| run.together) <= together,
            Target::NoneRefused => runs.iter().all(|run| run.refused == 0),
        };
        assert!(is_reached, "{fault}: not {target}");
    }
}

/// What a fault may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At most this time without a new connection.
    Gap(Duration),
    /// At most this time without a new connection, and this one with two holders of the address.
    OneHolder { gap: Duration, together: Duration },
    /// No new connection is refused.
    NoneRefused,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap(most) => write!(f, "{}", seconds(*most)),
            Self::OneHolder { gap, together } => {
                write!(f, "{}, two holders {}", seconds(*gap), seconds(*together))
            }
            Self::NoneRefused => f.write_str("0 refused"),
        }
    }
}

/// Whether the figures are what the run is for.
pub(crate) fn is_measuring() -> bool {
    std::env::var_os("LB_TEST_HA").is_some()
}

fn number_of_runs() -> usize {
    let number = std::env::var("LB_TEST_HA");
    number.map_or(1, |number| {
        number
            .parse::<usize>()
            .expect("LB_TEST_HA is a number of runs")
            .max(1)
    })
}

fn median<T: Ord + Copy>(runs: &[Run], figure: impl Fn(&Run) -> T) -> T {
    let mut figures = runs.iter().map(figure).collect::<Vec<_>>();
    figures.sort_unstable();
    figures[figures.len() / 2]
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
