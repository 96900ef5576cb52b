//! A path and what it does.

use super::context::{Answered, RouteContext, RouteRequest};

/// A path and what it does.
pub(in crate::admin) struct AdminRoute {
    pub(in crate::admin) path: &'static str,
    /// Whether it changes state: a `POST`.
    pub(in crate::admin) writes: bool,
    /// The names of its parameters.
    pub(in crate::admin) parameters: &'static [&'static str],
    pub(in crate::admin) answer: fn(&RouteContext, &RouteRequest<'_>) -> Answered,
}

impl AdminRoute {
    pub(super) const fn get(
        path: &'static str,
        parameters: &'static [&'static str],
        answer: fn(&RouteContext, &RouteRequest<'_>) -> Answered,
    ) -> Self {
        Self {
            path,
            writes: false,
            parameters,
            answer,
        }
    }

    pub(super) const fn post(
        path: &'static str,
        parameters: &'static [&'static str],
        answer: fn(&RouteContext, &RouteRequest<'_>) -> Answered,
    ) -> Self {
        Self {
            path,
            writes: true,
            parameters,
            answer,
        }
    }
}
