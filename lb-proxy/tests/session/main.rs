//! A session from accept to close: picks, retries, the wait queue, hooks, the log of failures.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(feature = "access-events")]
mod access_events;
mod failures;
mod hash_key;
mod hooks;
mod least_time;
mod live;
mod orphan;
mod progress;
mod queue;
mod refusal;
mod retry;
mod session_data;
mod source;
mod summary;
