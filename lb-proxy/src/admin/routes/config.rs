//! `/config`.

use serde::Serialize;

use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::{AdminAnswer, RequestError};
use crate::admin::program::ConfigLine;
use crate::embedder_code::named;

#[derive(Serialize)]
struct ConfigAnswer {
    /// In the order in which they were read.
    lines: Vec<ConfigLine>,
}

pub(super) fn config(context: &RouteContext, _: &RouteRequest<'_>) -> Answered {
    let config = context.program.config.as_ref();
    let none = || RequestError::not_found("this program does not report its configuration");
    let config = config.ok_or_else(none)?;
    let lines = named("AdminBuilder::config", || config());
    Ok(AdminAnswer::json(200, &ConfigAnswer { lines }))
}
