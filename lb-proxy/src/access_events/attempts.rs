//! The attempts of a session as one event lists them.

use std::fmt;

use crate::hooks::AttemptReport;

/// How many attempts an event lists. The first ones are left out if there are more.
const MAX_ATTEMPTS: usize = 32;

/// How many attempts are left out, and the others.
pub(super) fn last_attempts(all: &[AttemptReport]) -> (usize, &[AttemptReport]) {
    let omitted = all.len().saturating_sub(MAX_ATTEMPTS);
    (omitted, &all[omitted..])
}

/// The attempts in one text: `BACKEND OUTCOME @BEGAN_AFTER +TIME`, in seconds, joined by commas. `TIME` is how long the
/// attempt took to connect or to fail.
#[derive(Debug)]
pub(super) struct AttemptList<'a>(&'a [AttemptReport]);

impl<'a> AttemptList<'a> {
    /// The list. `None` without an attempt.
    pub(super) const fn of(attempts: &'a [AttemptReport]) -> Option<Self> {
        match attempts {
            [] => None,
            attempts => Some(Self(attempts)),
        }
    }
}

impl fmt::Display for AttemptList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (omitted, listed) = last_attempts(self.0);
        if omitted > 0 {
            write!(f, "{omitted} more, ")?;
        }
        for (i, attempt) in listed.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            let (backend, outcome) = (attempt.backend.endpoint(), attempt.outcome.as_str());
            write!(f, "{separator}{backend} {outcome}")?;
            if let Some(began) = attempt.began_after {
                let took = attempt.connected_after.unwrap_or(attempt.elapsed);
                write!(f, " @{:.6} +{:.6}", began.as_secs_f64(), took.as_secs_f64())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use lb_core::Backend;

    use super::*;
    use crate::hooks::AttemptOutcome;

    fn attempt(port: u16, outcome: AttemptOutcome) -> AttemptReport {
        let is_connected = outcome == AttemptOutcome::Connected;
        AttemptReport {
            backend: Arc::new(Backend::new(([10, 0, 0, 1], port).into())),
            outcome,
            error: None,
            began_after: Some(Duration::from_micros(port.into())),
            connected_after: is_connected.then_some(Duration::from_micros(2500)),
            first_byte_after: None,
            elapsed: Duration::from_secs(3),
            bytes_sent: 0,
            bytes_received: 0,
        }
    }

    #[test]
    fn an_attempt_shows_when_it_began_and_how_long_it_took() {
        assert!(AttemptList::of(&[]).is_none());
        let mut attempts = vec![
            attempt(1, AttemptOutcome::Timeout),
            attempt(2, AttemptOutcome::Connected),
        ];
        let text = |attempts: &[AttemptReport]| AttemptList::of(attempts).unwrap().to_string();
        let expected = "10.0.0.1:1 timeout @0.000001 +3.000000, \
                        10.0.0.1:2 connected @0.000002 +0.002500";
        assert_eq!(text(&attempts), expected);
        attempts[0].began_after = None;
        assert_eq!(text(&attempts[..1]), "10.0.0.1:1 timeout");
        let many: Vec<_> = (0..100)
            .map(|port| attempt(port, AttemptOutcome::Failed))
            .collect();
        let text = text(&many);
        assert!(text.starts_with("68 more, 10.0.0.1:68 failed "), "{text}");
        assert_eq!(text.matches("failed").count(), 32);
    }
}
