//! One pick: what a connection asks for, what a policy sees, and why a backend is or is not picked.

pub(crate) mod acquire;
pub(crate) mod context;
pub(crate) mod dry_run;
pub(crate) mod environment;
#[cfg(feature = "test-util")]
pub(crate) mod gate;
pub(crate) mod request;
