//! The filter of messages by level.

use lb_proxy::events::{ACCEPT_TARGET, AUDIT_TARGET, FAILURES_TARGET};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::config::error_log::LogLevel;

/// The outcomes of attempts to connect, which the hooks of sessions log.
const EJECTIONS: &str = "lb_proxy::upstream::outcome";

/// Its messages say less than ours and name nothing of the configuration.
const DNS_CLIENT: &str = "hickory";

/// Our crates. Other libraries name nothing of the configuration, and their errors are logged by one of these.
const OURS: [&str; 4] = ["lb_core", "lb_discovery", "lb_proxy", "nginx_like"];

/// The messages that are logged at `level`. Those of other libraries are logged at `debug` only, for the search of faults.
pub(super) fn targets(level: LevelFilter, has_hooks: bool) -> Targets {
    let foreign = if level >= LevelFilter::DEBUG {
        level
    } else {
        LevelFilter::OFF
    };
    let debug = if level >= LevelFilter::DEBUG {
        LevelFilter::DEBUG
    } else {
        LevelFilter::OFF
    };
    let ours = OURS.map(|target| (target, level));
    let targets = Targets::new()
        .with_default(foreign)
        .with_target(DNS_CLIENT, LevelFilter::OFF)
        .with_targets(ours)
        // Their warnings are errors in the log; see `severity`.
        .with_target(ACCEPT_TARGET, LevelFilter::WARN.max(level))
        .with_target(AUDIT_TARGET, LevelFilter::INFO.max(level));
    if has_hooks {
        // The hooks write nginx's lines about sessions.
        targets
            .with_target(FAILURES_TARGET, LevelFilter::OFF)
            .with_target(EJECTIONS, debug)
    } else {
        targets.with_target(FAILURES_TARGET, LevelFilter::WARN.max(level))
    }
}

/// tracing has no `notice` and nothing above `error`.
pub(super) const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info | LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Crit | LogLevel::Alert | LogLevel::Emerg => LevelFilter::ERROR,
    }
}
