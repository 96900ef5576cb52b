//! The queue of writes. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use lb_discovery::kubernetes::controller::ApiRequest;

/// The least time between two writes of one key: an object that changes all the time does not use up the rate of all.
const SPACING: Duration = Duration::from_millis(500);

/// The delays after a write that failed: they double from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// The most Events that wait. Others are dropped: the conditions say the same.
const MOST_EVENTS: usize = 1000;

/// The plural name of Events.
const EVENTS: &str = "events";

/// A write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Write {
    /// The plural name of the kind of the object.
    pub(super) kind: &'static str,
    /// The request.
    pub(super) request: ApiRequest,
    /// Events to create once it has succeeded.
    pub(super) events: Vec<ApiRequest>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WriteOutcome {
    /// It was carried out, or there is nothing to write to any more.
    Done,
    /// The object has changed: its next version makes another write.
    Stale,
    /// It failed. The server may ask for a time to wait.
    Failed(Option<Duration>),
}

/// The writes that wait, one for each key: a newer one replaces an older one.
///
/// Times are the caller's, and only compared with each other.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    writes: BTreeMap<String, Write>,
    keys: BTreeMap<String, KeyState>,
    events: Vec<ApiRequest>,
    /// Where the search for the next write goes on, so that each key has its turn.
    last: String,
}

#[derive(Debug, Default)]
struct KeyState {
    not_before: Duration,
    failures: u32,
}

impl WriteQueue {
    /// Wants `write` for `key`, in the place of what was wanted before.
    pub(super) fn want(&mut self, key: &str, write: Write) {
        self.writes.insert(key.to_owned(), write);
    }

    /// Wants nothing for `key`.
    pub(super) fn drop_key(&mut self, key: &str) {
        self.writes.remove(key);
    }

    /// Wants nothing for the keys for which `is_dropped` returns true.
    pub(super) fn drop_keys(&mut self, is_dropped: impl Fn(&str) -> bool) {
        self.writes.retain(|key, _| !is_dropped(key));
    }

    /// Drops everything: this replica no longer leads.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the next write that may be sent now: statuses first, each key in turn, then Events. `Err`: the time until there may be
    /// one, or `None` if nothing waits.
    pub(super) fn next(
        &mut self,
        now: Duration,
    ) -> Result<(Option<String>, Write), Option<Duration>> {
        let keys = &self.keys;
        let not_before = |key: &String| {
            keys.get(key)
                .map_or(Duration::ZERO, |state| state.not_before)
        };
        let is_due = |key: &&String| not_before(key) <= now;
        let after = self.writes.range::<String, _>((
            std::ops::Bound::Excluded(&self.last),
            std::ops::Bound::Unbounded,
        ));
        let in_turn = after
            .map(|(key, _)| key)
            .chain(self.writes.keys())
            .find(is_due)
            .cloned();
        if let Some(key) = in_turn
            && let Some(write) = self.writes.remove(&key)
        {
            self.last.clone_from(&key);
            return Ok((Some(key), write));
        }
        if !self.events.is_empty() {
            let request = self.events.remove(0);
            let write = Write {
                kind: EVENTS,
                request,
                events: Vec::new(),
            };
            return Ok((None, write));
        }
        let soonest = self.writes.keys().map(not_before).min();
        Err(soonest.map(|at| at.saturating_sub(now)))
    }

    /// Notes how the write of `key` ended. One that failed is sent again, unless there is a newer one.
    pub(super) fn ended(
        &mut self,
        key: Option<String>,
        write: Write,
        outcome: WriteOutcome,
        now: Duration,
    ) {
        let Some(key) = key else {
            return;
        };
        let state = self.keys.entry(key.clone()).or_default();
        match outcome {
            WriteOutcome::Done => {
                state.failures = 0;
                state.not_before = now + SPACING;
                let room = MOST_EVENTS.saturating_sub(self.events.len());
                self.events.extend(write.events.into_iter().take(room));
            }
            WriteOutcome::Stale => state.not_before = now,
            WriteOutcome::Failed(asked) => {
                let delay = BACKOFF
                    .0
                    .saturating_mul(1 << state.failures.min(16))
                    .min(BACKOFF.1);
                state.failures = state.failures.saturating_add(1);
                state.not_before = now + asked.unwrap_or_default().max(delay);
                self.writes.entry(key).or_insert(write);
            }
        }
    }

    /// Forgets the keys of objects that no longer exist.
    pub(super) fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.keys.retain(|key, _| exists(key));
        self.writes.retain(|key, _| exists(key));
    }

    /// How many writes and Events wait.
    pub(super) fn len(&self) -> usize {
        self.writes.len() + self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use lb_discovery::kubernetes::controller::ApiMethod;

    use super::*;

    fn write(path: &str) -> Write {
        Write {
            kind: "services",
            request: ApiRequest::new(ApiMethod::Get, path),
            events: Vec::new(),
        }
    }

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn next(queue: &mut WriteQueue, now: f64) -> Option<String> {
        let (key, write) = queue.next(secs(now)).ok()?;
        queue.ended(key.clone(), write, WriteOutcome::Done, secs(now));
        key
    }

    #[test]
    fn a_newer_write_replaces_an_older_one_and_keys_take_turns() {
        let mut queue = WriteQueue::default();
        for key in ["b", "a", "b"] {
            queue.want(key, write(key));
        }
        assert_eq!(queue.len(), 2);
        assert_eq!(next(&mut queue, 0.0).as_deref(), Some("a"));
        queue.want("a", write("again"));
        assert_eq!(next(&mut queue, 0.0).as_deref(), Some("b"));
        // The key was just written.
        assert_eq!(queue.next(secs(0.1)), Err(Some(secs(0.4))));
        assert_eq!(next(&mut queue, 0.5).as_deref(), Some("a"));
        assert_eq!(queue.next(secs(1.0)), Err(None));
    }

    #[test]
    fn a_failed_write_is_sent_again_later_and_a_stale_one_is_not() {
        let mut queue = WriteQueue::default();
        queue.want("a", write("one"));
        let mut now = Duration::ZERO;
        for delay in [0.5, 1.0, 2.0, 4.0] {
            let (key, write) = queue.next(now).unwrap();
            queue.ended(key, write, WriteOutcome::Failed(None), now);
            assert_eq!(queue.next(now), Err(Some(secs(delay))));
            now += secs(delay);
        }
        let (key, failed) = queue.next(now).unwrap();
        queue.ended(key, failed, WriteOutcome::Failed(Some(secs(30.0))), now);
        assert_eq!(queue.next(now), Err(Some(secs(30.0))));
        now += secs(30.0);
        let (key, old) = queue.next(now).unwrap();
        queue.want("a", write("new"));
        queue.ended(key, old, WriteOutcome::Failed(None), now);
        now += secs(60.0);
        let (key, newer) = queue.next(now).unwrap();
        assert_eq!(newer, write("new"));
        queue.ended(key, newer, WriteOutcome::Stale, now);
        assert_eq!(queue.next(now), Err(None));
    }

    #[test]
    fn events_follow_the_write_that_they_are_about() {
        let mut queue = WriteQueue::default();
        let mut with_events = write("status");
        with_events.events = vec![ApiRequest::new(ApiMethod::Post, "event"); 2000];
        queue.want("a", with_events);
        assert_eq!(next(&mut queue, 0.0).as_deref(), Some("a"));
        assert_eq!(queue.len(), MOST_EVENTS);
        queue.want("b", write("status"));
        assert_eq!(next(&mut queue, 0.0).as_deref(), Some("b"));
        assert_eq!(queue.next(secs(0.0)).unwrap().0, None);
        queue.clear();
        assert_eq!(queue.next(secs(0.0)), Err(None));
    }
}
