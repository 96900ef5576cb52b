//! The questions for one name, one for each family, of which a silent one holds up nothing.

use std::future::Future;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::error::DiscoveryError;
use crate::sources::dns::lookup::answer::{Family, Outcome};
use crate::sources::dns::server::error::what;

/// How long one family is waited for once the other one's answer is enough to go on ("Resolution Delay", RFC 8305
/// section 3).
///
/// The RFC has 50 ms, for people who wait for a page. A set of backends that is first published without a family
/// costs more than a moment, so slow servers are given longer here; but a change must be followed within its TTL and
/// a second.
pub(crate) const RESOLUTION_DELAY: Duration = Duration::from_millis(250);

/// The questions that are out for one name, at most one for each family.
///
/// Those that an end of [`outcomes`](Self::outcomes) leaves open run on as tasks, which end when this is dropped.
pub(crate) struct Questions {
    name: Name,
    open: Vec<Family>,
    tasks: JoinSet<(Family, Outcome)>,
}

impl Questions {
    pub(crate) fn new(name: &Name) -> Self {
        Self {
            name: name.clone(),
            open: Vec::new(),
            tasks: JoinSet::new(),
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Whether one has no outcome yet that was taken.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Asks for `family`, unless that question is still out.
    pub(crate) fn ask(
        &mut self,
        family: Family,
        question: impl Future<Output = Outcome> + Send + 'static,
    ) {
        if !self.open.contains(&family) {
            self.open.push(family);
            self.tasks.spawn(async move { (family, question.await) });
        }
    }

    /// The outcomes that have come since [`outcomes`](Self::outcomes) ended.
    pub(crate) fn late(&mut self) -> Vec<(Family, Outcome)> {
        let mut late = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            late.extend(ended.ok());
        }
        if self.tasks.is_empty() {
            self.open.clear(); // a task that was lost with its runtime included
        }
        self.open
            .retain(|open| !late.iter().any(|(family, _)| family == open));
        late
    }

    /// One outcome for each question, in the order of the families. Waits for all of them; but from the first one
    /// that is `enough` on only for [`RESOLUTION_DELAY`], after which the others count as timed out.
    pub(crate) async fn outcomes(
        &mut self,
        shown: &str,
        enough: impl Fn(Family, &Outcome) -> bool,
    ) -> Vec<(Family, Outcome)> {
        let mut outcomes = Vec::new();
        let mut deadline = None;
        loop {
            let ended = tokio::select! {
                biased;
                ended = self.tasks.join_next() => ended,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
            };
            match ended {
                Some(Ok((family, outcome))) => {
                    if deadline.is_none() && enough(family, &outcome) {
                        deadline = Some(Instant::now() + RESOLUTION_DELAY);
                    }
                    self.open.retain(|open| *open != family);
                    outcomes.push((family, outcome));
                }
                Some(Err(_)) => {} // it counts as silent
                None => break,
            }
        }
        let silent = |family: &Family| (*family, Err(silent(*family, shown)));
        outcomes.extend(self.open.iter().map(silent));
        if self.tasks.is_empty() {
            self.open.clear();
        }
        outcomes.sort_by_key(|(family, _)| *family);
        outcomes
    }
}

fn silent(family: Family, shown: &str) -> DiscoveryError {
    let kind = family.record_type();
    DiscoveryError::Timeout {
        what: what(shown),
        problem: format!("no {kind} answer within {RESOLUTION_DELAY:?} of the other one").into(),
    }
}
