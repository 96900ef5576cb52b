//! The log target of what operators change.

/// The target of messages about what operators change while the server runs: overrides of backends, closed sessions,
/// the level of the log.
///
/// They have the level `info`. Log them whatever level an operator has set, so that each change has a trace.
pub const AUDIT_TARGET: &str = "lb_proxy::audit";
