//! A path and what it does.

use super::context::{Answered, RouteContext, RouteRequest};

type AnswerFn = fn(&RouteContext, &RouteRequest<'_>) -> Answered;

/// A path and what it does.
pub(in crate::admin) struct AdminRoute {
    pub(in crate::admin) path: &'static str,
    /// Whether it changes state: a `POST`.
    pub(in crate::admin) writes: bool,
    /// The names of its parameters.
    pub(in crate::admin) parameters: &'static [&'static str],
    pub(in crate::admin) answer: AnswerFn,
}

impl AdminRoute {
    pub(super) const fn get(
        path: &'static str,
        parameters: &'static [&'static str],
        answer: AnswerFn,
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
        answer: AnswerFn,
    ) -> Self {
        Self {
            writes: true,
            ..Self::get(path, parameters, answer)
        }
    }
}
