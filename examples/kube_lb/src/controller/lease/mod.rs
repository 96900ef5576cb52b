//! The election of the replica that leads: it alone writes.
//!
//! - `record`: the Lease object;
//! - `election`: when a replica takes and renews it. Pure;
//! - `task`: the requests.
//!
//! The rules are those of client-go's leader election, so that its tools understand the Lease. A replica compares no clocks with
//! others: it takes over a Lease that has not changed for the time written in it, counted from when it saw it. The holder stops writing
//! after two thirds of that time without a renewal, counted from before it sent the renewal, on a clock that cannot be set and counts
//! suspended time. A process that was paused finds that time over before it sends anything, and every write names the version of the
//! object that it is based on, so that not even a request that was delayed on its way overwrites what a new leader has written.

mod election;
mod record;
mod task;

pub(super) use task::{Leadership, lead};
