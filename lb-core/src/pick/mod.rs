//! One decision: the request, what a policy sees, and why it went as it did.

pub(crate) mod context;
pub(crate) mod explain;
pub(crate) mod request;
