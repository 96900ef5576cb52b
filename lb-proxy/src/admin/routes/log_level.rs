//! `/log_level`.

use lb_core::Escaped;
use serde_json::json;
use tracing::info;

use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::{AdminAnswer, RequestError};
use crate::admin::program::NamedLevels;
use crate::audit::AUDIT_TARGET;
use crate::operator_action::{ActionEffect, OperatorAction};

pub(super) const PARAMETERS: &[&str] = &["level"];

pub(super) fn get(context: &RouteContext, _: &RouteRequest<'_>) -> Answered {
    let level = levels(context)?.level();
    let by = context.program.log_level_by();
    Ok(AdminAnswer::json(200, &json!({ "level": level, "by": by })))
}

pub(super) fn set(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let level = request.parameters.required("level")?;
    let levels = levels(context)?;
    let before = levels.level();
    levels.check_level(level).map_err(RequestError::bad)?;
    levels.set_level(level).map_err(RequestError::bad)?;
    info!(target: AUDIT_TARGET, by = %Escaped(request.by), before, level = %Escaped(level), "Log level set");
    let by = (level != "default").then(|| request.by.to_owned());
    context.program.set_log_level_by(by);
    context.handle.operator_actions().add(OperatorAction {
        value: Some(level.to_owned()),
        ..OperatorAction::now("log_level", request.by, ActionEffect::Set)
    });
    Ok(AdminAnswer::json(
        200,
        &json!({ "level": levels.level(), "before": before }),
    ))
}

fn levels(context: &RouteContext) -> Result<&NamedLevels, RequestError> {
    let none = || RequestError::not_found("this program does not let its log level be set");
    context.program.log_levels.as_ref().ok_or_else(none)
}
