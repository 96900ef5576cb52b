//! `error_log`: where messages go, and which.

pub(crate) mod line;
pub(crate) mod logging;
pub(crate) mod queue;
pub(crate) mod sink;
