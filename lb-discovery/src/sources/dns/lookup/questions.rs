//! The questions for one name, one for each family. One without an answer does not delay the other.

use std::future::Future;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::error::DiscoveryError;
use crate::ip_family::IpFamily;
use crate::sources::dns::lookup::addresses::{QuestionOutcome, record_type};
use crate::sources::dns::server::error::what;

/// How long a lookup waits for one family once the other one's answer is sufficient ("Resolution Delay", RFC 8305 section
/// 3).
///
/// The RFC has 50 ms, for interactive use. Here it is longer, because a first set without one family costs more than a
/// short delay; but a change must be published within its TTL plus a second.
pub(crate) const RESOLUTION_DELAY: Duration = Duration::from_millis(250);

/// The pending questions for one name, at most one for each family.
///
/// Questions that are pending when [`outcomes`](Self::outcomes) returns continue as tasks, which end when this is dropped.
pub(crate) struct Questions {
    name: Name,
    open: Vec<IpFamily>,
    tasks: JoinSet<(IpFamily, QuestionOutcome)>,
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

    /// Whether the outcome of a question was not taken yet.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Asks for `family`, unless that question is pending.
    pub(crate) fn ask(
        &mut self,
        family: IpFamily,
        question: impl Future<Output = QuestionOutcome> + Send + 'static,
    ) {
        if !self.open.contains(&family) {
            self.open.push(family);
            self.tasks.spawn(async move { (family, question.await) });
        }
    }

    /// Takes the outcomes that arrived after [`outcomes`](Self::outcomes) returned.
    pub(crate) fn late(&mut self) -> Vec<(IpFamily, QuestionOutcome)> {
        let mut late = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            late.extend(ended.ok());
        }
        if self.tasks.is_empty() {
            self.open.clear(); // including a task that was lost with its runtime
        }
        self.open
            .retain(|open| !late.iter().any(|(family, _)| family == open));
        late
    }

    /// Returns one outcome for each question, in the order of the families. Waits for all of them, but after the first one
    /// that is `enough` only for [`RESOLUTION_DELAY`], after which the pending ones count as timed out.
    pub(crate) async fn outcomes(
        &mut self,
        shown: &str,
        enough: impl Fn(IpFamily, &QuestionOutcome) -> bool,
    ) -> Vec<(IpFamily, QuestionOutcome)> {
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
                Some(Err(_)) => {} // counts as no answer
                None => break,
            }
        }
        let silent = |family: &IpFamily| (*family, Err(silent(*family, shown)));
        outcomes.extend(self.open.iter().map(silent));
        if self.tasks.is_empty() {
            self.open.clear();
        }
        outcomes.sort_by_key(|(family, _)| *family);
        outcomes
    }
}

fn silent(family: IpFamily, shown: &str) -> DiscoveryError {
    let kind = record_type(family);
    DiscoveryError::Timeout {
        what: what(shown),
        problem: format!("no {kind} answer within {RESOLUTION_DELAY:?} of the other one").into(),
    }
}
