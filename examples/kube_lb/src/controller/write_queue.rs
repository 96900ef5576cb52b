//! The queue of writes. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use lb_discovery::kubernetes::controller::ApiRequest;

/// The least time between two writes of one key: an object that changes all the time does not use up the rate of all.
const SPACING: Duration = Duration::from_millis(500);

/// The delays after a write that failed: they double from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// The delay after the second of several writes in a row that came too late; it doubles up to [`SPACING`]. The first one is sent again at
/// once.
const STALE: Duration = Duration::from_millis(100);

/// The most Events of one namespace that wait. Others are dropped: the conditions say the same.
const MOST_EVENTS: usize = 200;

/// The plural name of Events.
const EVENTS: &str = "events";

/// A write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Write {
    /// The plural name of the kind of the object.
    pub(super) kind: &'static str,
    /// The request.
    pub(super) request: ApiRequest,
    /// The digest of what it writes, whatever the version and the times in it.
    pub(super) digest: u64,
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

/// The writes that wait, one for each key: a newer one replaces an older one. A key is `namespace/name`, maybe with a kind and a space in
/// front.
///
/// Namespaces take turns, and within each its keys: thousands of objects of one user do not hold back the others'.
///
/// Times are the caller's, and only compared with each other.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    waiting: BTreeMap<String, Waiting>,
    keys: BTreeMap<String, KeyState>,
    /// The namespace that had the last turn.
    last: String,
}

/// What waits in one namespace.
#[derive(Debug, Default)]
struct Waiting {
    writes: BTreeMap<String, Write>,
    events: VecDeque<ApiRequest>,
    /// The key that had the last turn.
    last: String,
}

#[derive(Debug, Default)]
struct KeyState {
    not_before: Duration,
    failures: u32,
    /// How many writes in a row came too late.
    stale: u32,
    /// The digest of what was written last.
    written: Option<u64>,
    /// How often in a row the same was written again.
    undone: u32,
}

impl WriteQueue {
    /// Wants `write` for `key`, in the place of what was wanted before.
    pub(super) fn want(&mut self, key: &str, write: Write) {
        let waiting = self.waiting.entry(namespace(key).to_owned()).or_default();
        waiting.writes.insert(key.to_owned(), write);
    }

    /// Wants nothing for `key`.
    pub(super) fn drop_key(&mut self, key: &str) {
        if let Some(waiting) = self.waiting.get_mut(namespace(key)) {
            waiting.writes.remove(key);
        }
    }

    /// Wants nothing for the keys for which `is_dropped` returns true.
    pub(super) fn drop_keys(&mut self, is_dropped: impl Fn(&str) -> bool) {
        for waiting in self.waiting.values_mut() {
            waiting.writes.retain(|key, _| !is_dropped(key));
        }
    }

    /// Drops everything: this replica no longer leads.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the next write that may be sent now: statuses first, each namespace and key in turn, then Events. `Err`: the time until
    /// there may be one, or `None` if nothing waits.
    pub(super) fn next(
        &mut self,
        now: Duration,
    ) -> Result<(Option<String>, Write), Option<Duration>> {
        let keys = &self.keys;
        let not_before = |key: &String| {
            keys.get(key)
                .map_or(Duration::ZERO, |state| state.not_before)
        };
        let is_due = |key: &String| not_before(key) <= now;
        let due = in_turn(&self.waiting, &self.last).find_map(|(namespace, waiting)| {
            let mut keys = in_turn(&waiting.writes, &waiting.last);
            let (key, _) = keys.find(|(key, _)| is_due(key))?;
            Some((namespace.clone(), key.clone()))
        });
        if let Some((namespace, key)) = due
            && let Some(waiting) = self.waiting.get_mut(&namespace)
            && let Some(write) = waiting.writes.remove(&key)
        {
            waiting.last.clone_from(&key);
            self.last = namespace;
            return Ok((Some(key), write));
        }
        let with_events = in_turn(&self.waiting, &self.last)
            .find(|(_, waiting)| !waiting.events.is_empty())
            .map(|(namespace, _)| namespace.clone());
        if let Some(namespace) = with_events
            && let Some(waiting) = self.waiting.get_mut(&namespace)
            && let Some(request) = waiting.events.pop_front()
        {
            self.last = namespace;
            let write = Write {
                kind: EVENTS,
                request,
                digest: 0,
                events: Vec::new(),
            };
            return Ok((None, write));
        }
        let waiting = self.waiting.values();
        let soonest = waiting
            .flat_map(|waiting| waiting.writes.keys())
            .map(not_before)
            .min();
        Err(soonest.map(|at| at.saturating_sub(now)))
    }

    /// Notes how the write of `key` ended. One that failed is sent again, unless there is a newer one. Returns how often in a row the same
    /// was written: another program may undo it each time, so it waits longer each time.
    pub(super) fn ended(
        &mut self,
        key: Option<String>,
        write: Write,
        outcome: WriteOutcome,
        now: Duration,
    ) -> u32 {
        let Some(key) = key else {
            return 0;
        };
        let waiting = self.waiting.entry(namespace(&key).to_owned()).or_default();
        let state = self.keys.entry(key.clone()).or_default();
        if outcome != WriteOutcome::Stale {
            state.stale = 0;
        }
        match outcome {
            WriteOutcome::Done => {
                state.failures = 0;
                state.done(write.digest, now);
                let room = MOST_EVENTS.saturating_sub(waiting.events.len());
                waiting.events.extend(write.events.into_iter().take(room));
            }
            WriteOutcome::Stale => {
                let doublings = state.stale.checked_sub(1);
                let delay = doublings.map(|times| doubled(STALE, times).min(SPACING));
                state.stale = state.stale.saturating_add(1);
                state.not_before = now + delay.unwrap_or_default();
            }
            WriteOutcome::Failed(asked) => {
                let delay = doubled(BACKOFF.0, state.failures).min(BACKOFF.1);
                state.failures = state.failures.saturating_add(1);
                state.not_before = now + asked.unwrap_or_default().max(delay);
                waiting.writes.entry(key).or_insert(write);
            }
        }
        state.undone
    }

    /// Forgets the keys of objects that no longer exist.
    pub(super) fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.keys.retain(|key, _| exists(key));
        self.drop_keys(|key| !exists(key));
        self.waiting
            .retain(|_, waiting| !waiting.writes.is_empty() || !waiting.events.is_empty());
    }

    /// How many writes and Events wait.
    pub(super) fn len(&self) -> usize {
        let waiting = self.waiting.values();
        waiting
            .map(|waiting| waiting.writes.len() + waiting.events.len())
            .sum()
    }
}

impl KeyState {
    /// Notes that something with this digest was written.
    fn done(&mut self, digest: u64, now: Duration) {
        let is_again = self.written == Some(digest) && now < self.not_before + BACKOFF.1;
        self.undone = match is_again {
            true => self.undone.saturating_add(1),
            false => 0,
        };
        self.written = Some(digest);
        self.not_before = now + doubled(SPACING, self.undone).min(BACKOFF.1);
    }
}

fn doubled(time: Duration, times: u32) -> Duration {
    time.saturating_mul(1 << times.min(16))
}

/// The namespace in a key. Empty for objects without one.
fn namespace(key: &str) -> &str {
    let name = key.split_once(' ').map_or(key, |(_, name)| name);
    name.split_once('/').map_or("", |(namespace, _)| namespace)
}

/// The entries of `map` behind the key `last`, and then all from the start.
fn in_turn<'a, T>(
    map: &'a BTreeMap<String, T>,
    last: &String,
) -> impl Iterator<Item = (&'a String, &'a T)> + use<'a, T> {
    let behind = (Bound::Excluded(last), Bound::Unbounded);
    map.range::<String, _>(behind).chain(map)
}

#[cfg(test)]
mod tests {
    use lb_discovery::kubernetes::controller::ApiMethod;

    use super::*;

    fn write(path: &str) -> Write {
        Write {
            kind: "services",
            request: ApiRequest::new(ApiMethod::Get, path),
            digest: path.len() as u64,
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
    fn an_object_that_is_always_changed_before_it_is_written_is_tried_rarely() {
        let mut queue = WriteQueue::default();
        let mut now = Duration::ZERO;
        for delay in [0.0, 0.1, 0.2, 0.4, 0.5, 0.5] {
            queue.want("a", write("new"));
            let (key, late) = queue.next(now).unwrap();
            queue.ended(key, late, WriteOutcome::Stale, now);
            now += secs(delay);
            queue.want("a", write("newer"));
            if delay > 0.0 {
                assert!(queue.next(now - secs(0.01)).is_err());
            }
        }
        assert_eq!(next(&mut queue, now.as_secs_f64()).as_deref(), Some("a"));
    }

    #[test]
    fn what_another_program_undoes_each_time_is_written_ever_more_rarely() {
        let mut queue = WriteQueue::default();
        let mut now = Duration::ZERO;
        let write_at = |queue: &mut WriteQueue, path: &str, now: Duration| {
            queue.want("a", write(path));
            let (key, write) = queue.next(now).ok()?;
            Some(queue.ended(key, write, WriteOutcome::Done, now))
        };
        for (undone, delay) in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
            .into_iter()
            .enumerate()
        {
            let times = u32::try_from(undone).unwrap();
            assert_eq!(write_at(&mut queue, "same", now), Some(times));
            assert_eq!(write_at(&mut queue, "same", now + secs(delay - 0.01)), None);
            now += secs(delay);
        }
        // Something else is written as usual, and so is the same after a while.
        assert_eq!(write_at(&mut queue, "other", now), Some(0));
        now += secs(0.5);
        assert_eq!(write_at(&mut queue, "other", now), Some(1));
        now += secs(120.0);
        assert_eq!(write_at(&mut queue, "other", now), Some(0));
    }

    #[test]
    fn namespaces_take_turns_whatever_the_number_of_their_objects() {
        let mut queue = WriteQueue::default();
        for i in 0..100 {
            queue.want(&format!("tcproutes many/{i:02}"), write("status"));
            queue.want(&format!("many/{i:02}"), write("status"));
        }
        queue.want("few/a", write("status"));
        queue.want("gateways few/b", write("status"));
        queue.want("gatewayclasses lb", write("status"));
        let first: Vec<_> = (0..5).map(|_| next(&mut queue, 0.0).unwrap()).collect();
        let expected = [
            "few/a",
            "many/00",
            "gatewayclasses lb",
            "gateways few/b",
            "many/01",
        ];
        assert_eq!(first, expected);
        queue.retain(|key| !key.contains("many"));
        assert_eq!(queue.next(secs(0.0)), Err(None));
        assert!(queue.waiting.is_empty());
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
