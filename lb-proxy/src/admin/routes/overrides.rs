//! `/drain`, `/undrain`, `/ready`, `/weight`, `/max_conns`.

use std::num::NonZeroU32;

use lb_core::{AdminState, Weight};
use serde::Serialize;

use super::backends::{TargetBackend, targets};
use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::{AdminAnswer, RequestError};
use crate::admin::query::invalid;
use crate::admin::status::admin_name;
use crate::balancing::{Override, OverrideKind, OverrideOrigin, WeightOverride};
use crate::operator_action::{ActionEffect, OperatorAction};

pub(super) const BACKEND: &[&str] = &["backend", "upstream"];
pub(super) const WEIGHT: &[&str] = &["backend", "upstream", "weight"];
pub(super) const MAX_CONNS: &[&str] = &["backend", "upstream", "max_conns"];

/// What a request sets.
#[derive(Clone, Copy)]
enum Change {
    Set(Override),
    Clear(OverrideKind),
}

#[derive(Serialize)]
struct OverridesAnswer {
    backends: Vec<Changed>,
}

/// A backend after the change.
#[derive(Serialize)]
struct Changed {
    upstream: String,
    backend: String,
    /// Whether the request changed something.
    changed: bool,
    /// What is in force. Nothing while the backend is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<InForce>,
}

#[derive(Serialize)]
struct InForce {
    admin: &'static str,
    weight: u16,
    max_conns: Option<u32>,
}

pub(super) fn drain(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let drain = Override::Admin(AdminState::Drain);
    change(context, request, "drain", None, Change::Set(drain))
}

pub(super) fn undrain(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let clear = Change::Clear(OverrideKind::Admin);
    change(context, request, "undrain", None, clear)
}

pub(super) fn ready(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let ready = Override::Admin(AdminState::Ready);
    change(context, request, "ready", None, Change::Set(ready))
}

pub(super) fn weight(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let text = request.parameters.required("weight")?;
    let weight = match (text, text.strip_suffix('%')) {
        ("default", _) => None,
        (_, Some(percent)) => percent.parse().ok().map(WeightOverride::Percent),
        (value, None) => {
            let weight = value.parse().ok();
            weight.map(|weight| WeightOverride::Value(Weight::new(weight)))
        }
    };
    let change_to = match weight {
        Some(weight) => Change::Set(Override::Weight(weight)),
        None if text == "default" => Change::Clear(OverrideKind::Weight),
        None => {
            let expected = "a number up to 65535, a percentage such as 50%, or default";
            return Err(invalid("weight", text, expected));
        }
    };
    change(context, request, "weight", Some(text), change_to)
}

pub(super) fn max_conns(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let text = request.parameters.required("max_conns")?;
    let change_to = match text {
        "default" => Change::Clear(OverrideKind::MaxConns),
        "unlimited" => Change::Set(Override::MaxConns(None)),
        number => {
            let expected = "a number from 1, unlimited or default";
            let limit: NonZeroU32 = number
                .parse()
                .map_err(|_| invalid("max_conns", number, expected))?;
            Change::Set(Override::MaxConns(Some(limit)))
        }
    };
    change(context, request, "max_conns", Some(text), change_to)
}

/// Applies a change to each backend that the request means, and keeps it as the action `name`.
fn change(
    context: &RouteContext,
    request: &RouteRequest<'_>,
    name: &'static str,
    value: Option<&str>,
    change: Change,
) -> Answered {
    let handle = &context.handle;
    let targets = targets(handle, &request.parameters)?;
    let applied = targets.iter();
    let applied: Vec<_> = applied
        .map(|target| apply(target, change, request.by))
        .collect();
    // A backend that has left one upstream meanwhile may have been changed in another.
    if applied.iter().any(Result::is_ok) {
        let changed = applied.iter().flatten().filter(|one| one.changed).count();
        let effect = ActionEffect::Changed(changed as u64);
        handle.operator_actions().add(OperatorAction {
            upstream: request.parameters.get("upstream").map(str::to_owned),
            backend: Some(targets[0].endpoint.to_string()),
            value: value.map(str::to_owned),
            ..OperatorAction::now(name, request.by, effect)
        });
    }
    let backends = applied.into_iter().collect::<Result<_, _>>()?;
    Ok(AdminAnswer::json(200, &OverridesAnswer { backends }))
}

fn apply(target: &TargetBackend, change: Change, by: &str) -> Result<Changed, RequestError> {
    let TargetBackend {
        upstream,
        addr,
        endpoint,
    } = target;
    let origin = OverrideOrigin::Operator;
    let changed = match change {
        Change::Clear(kind) => upstream.clear_override(*addr, origin, by, kind),
        Change::Set(setting) => {
            let set = upstream.set_override(*addr, origin, by, setting);
            // The backend may have left since it was found.
            set.map_err(|error| RequestError::not_found(error.to_string()))?
        }
    };
    let set = upstream.backends();
    let now = set.backend(*addr).map(|backend| InForce {
        admin: admin_name(backend.admin),
        weight: backend.weight.get(),
        max_conns: backend.max_conns.map(NonZeroU32::get),
    });
    Ok(Changed {
        upstream: upstream.name().to_owned(),
        backend: endpoint.to_string(),
        changed,
        now,
    })
}
