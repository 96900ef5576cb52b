//! The live sessions of one worker.

use std::net::SocketAddr;
#[cfg(feature = "metrics")]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::time::Instant;

use super::entry::LiveSession;
use crate::session_id::SessionId;

/// How many slots a query visits under one lock, so that it delays a session of the worker by some microseconds at most.
const CHUNK: usize = 256;

/// How many slots a sample looks at for each session that it is to have, at most.
#[cfg(feature = "metrics")]
const MOST_LOOKS: usize = 8;

/// A large odd number: samples begin at slots far from each other.
#[cfg(feature = "metrics")]
const TURN: usize = 0x9E37_79B1;

/// A table larger than this gives its memory back when it is empty.
const KEPT_SLOTS: usize = 1024;

/// The live sessions of one worker. The lock is the worker's own: sessions of different workers do not contend.
#[derive(Debug)]
pub(crate) struct SessionTable {
    is_on: AtomicBool,
    /// The number of this worker, and of all workers.
    worker: (u64, u64),
    begun: AtomicU64,
    #[cfg(feature = "metrics")]
    sampled: AtomicUsize,
    slots: Mutex<Slab<Arc<LiveSession>>>,
}

impl SessionTable {
    /// The table of the worker with this `number`, counted from zero, of `workers`. It is off.
    pub(crate) fn new(number: usize, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            is_on: AtomicBool::new(false),
            worker: (number as u64, workers as u64),
            begun: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            sampled: AtomicUsize::new(0),
            slots: Mutex::default(),
        })
    }

    /// Whether new sessions are added.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Sets whether new sessions are added. Those in the table stay until they end.
    pub(crate) fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Relaxed);
    }

    /// A number from 1 for a session of this worker. The numbers of a worker leave the same rest, divided by the number of
    /// workers.
    pub(crate) fn next_id(&self) -> SessionId {
        let (worker, workers) = self.worker;
        SessionId::new(self.begun.fetch_add(1, Relaxed) * workers + worker + 1)
    }

    /// Whether `id` can be in this table.
    pub(crate) const fn may_have(&self, id: SessionId) -> bool {
        let (worker, workers) = self.worker;
        match id.get().checked_sub(1) {
            Some(before) => before % workers == worker,
            None => false,
        }
    }

    /// Adds a session. It is in the table until the value is dropped.
    pub(crate) fn add(
        self: &Arc<Self>,
        id: SessionId,
        accepted_at: Instant,
        peer: SocketAddr,
        listener: SocketAddr,
    ) -> TrackedSession {
        let session = Arc::new(LiveSession::new(id, accepted_at, peer, listener));
        TrackedSession {
            slot: self.lock().insert(Arc::clone(&session)),
            table: Arc::clone(self),
            session,
        }
    }

    /// Calls `visit` for each session, without the lock. Each session that is in the table all the time is visited once.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&Arc<LiveSession>)) {
        let mut chunk = Vec::new();
        let mut next = 0;
        loop {
            let slots = self.lock();
            let end = slots.capacity().min(next + CHUNK);
            chunk.extend((next..end).filter_map(|slot| slots.get(slot)).cloned());
            let is_last = end == slots.capacity();
            drop(slots);
            chunk.drain(..).for_each(|session| visit(&session));
            if is_last {
                break;
            }
            next = end;
        }
    }

    /// Calls `visit` without the lock for at most `most` sessions, spread over the whole table and other ones at each call.
    /// O(most). A table that was much fuller before may yield fewer than there are.
    #[cfg(feature = "metrics")]
    pub(crate) fn sample(&self, most: usize, mut visit: impl FnMut(&Arc<LiveSession>)) {
        let (capacity, live) = {
            let slots = self.lock();
            (slots.capacity(), slots.len())
        };
        if most == 0 || live == 0 {
            return;
        }
        // Vacant slots yield nothing, so there are more looks than sessions.
        let looks = most.saturating_mul(capacity).div_ceil(live);
        let looks = looks.min(most.saturating_mul(MOST_LOOKS)).min(capacity);
        let turn = self.sampled.fetch_add(1, Relaxed);
        let begin = turn.wrapping_mul(TURN) % capacity;
        let slot = |look: usize| (begin + look * capacity / looks) % capacity;
        let mut left = most;
        let mut chosen = Vec::new();
        for first in (0..looks).step_by(CHUNK) {
            let last = looks.min(first + CHUNK);
            let slots = self.lock();
            let found = (first..last).filter_map(|look| slots.get(slot(look)));
            chosen.extend(found.take(left).cloned());
            drop(slots);
            left -= chosen.len();
            chosen.drain(..).for_each(|session| visit(&session));
        }
    }

    fn remove(&self, slot: usize) {
        let mut slots = self.lock();
        let removed = slots.try_remove(slot);
        if slots.is_empty() && slots.capacity() > KEPT_SLOTS {
            *slots = Slab::new();
        }
        drop(slots);
        drop(removed);
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Slab<Arc<LiveSession>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session in a table. Dropping it removes the session.
#[derive(Debug)]
pub(crate) struct TrackedSession {
    pub(crate) session: Arc<LiveSession>,
    table: Arc<SessionTable>,
    slot: usize,
}

impl Drop for TrackedSession {
    fn drop(&mut self) {
        self.table.remove(self.slot);
    }
}

#[cfg(test)]
mod tests;
