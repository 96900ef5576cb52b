//! A path and what it does.

use std::future::Future;
use std::pin::Pin;

use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::{AdminAnswer, RequestError};
use crate::embedder_code::catch_future;

type NowFn = fn(&RouteContext, &RouteRequest<'_>) -> Answered;
type LaterFn =
    for<'a> fn(&'a RouteContext, &'a RouteRequest<'a>) -> Result<LaterAnswer<'a>, RequestError>;

/// The answer to a request that may have to wait.
pub(super) enum LaterAnswer<'a> {
    Now(AdminAnswer),
    /// At most as many are polled at a time as the context has permits.
    Waits(Pin<Box<dyn Future<Output = Answered> + Send + 'a>>),
}

/// A path and what it does.
pub(in crate::admin) struct AdminRoute {
    pub(in crate::admin) path: &'static str,
    /// Whether it changes state: a `POST`.
    pub(in crate::admin) writes: bool,
    /// The names of its parameters.
    pub(in crate::admin) parameters: &'static [&'static str],
    answer: AnswerFn,
}

enum AnswerFn {
    Now(NowFn),
    Later(LaterFn),
}

impl AdminRoute {
    pub(super) const fn get(
        path: &'static str,
        parameters: &'static [&'static str],
        answer: NowFn,
    ) -> Self {
        Self {
            path,
            writes: false,
            parameters,
            answer: AnswerFn::Now(answer),
        }
    }

    /// A `GET` whose answer may have to be waited for.
    pub(super) const fn get_later(
        path: &'static str,
        parameters: &'static [&'static str],
        answer: LaterFn,
    ) -> Self {
        Self {
            path,
            writes: false,
            parameters,
            answer: AnswerFn::Later(answer),
        }
    }

    pub(super) const fn post(
        path: &'static str,
        parameters: &'static [&'static str],
        answer: NowFn,
    ) -> Self {
        Self {
            writes: true,
            ..Self::get(path, parameters, answer)
        }
    }

    /// A panic of the program's code is an error of this request alone.
    pub(in crate::admin) async fn answer(
        &self,
        context: &RouteContext,
        request: &RouteRequest<'_>,
    ) -> Answered {
        let answered = catch_future(|| "Admin request", self.answer_or_panic(context, request));
        answered.await.unwrap_or_else(|panicked| {
            context.handle.note_panic(&panicked);
            Err(RequestError {
                status: 500,
                text: panicked.to_string(),
            })
        })
    }

    async fn answer_or_panic(
        &self,
        context: &RouteContext,
        request: &RouteRequest<'_>,
    ) -> Answered {
        match self.answer {
            AnswerFn::Now(answer) => answer(context, request),
            AnswerFn::Later(answer) => match answer(context, request)? {
                LaterAnswer::Now(answer) => Ok(answer),
                LaterAnswer::Waits(answer) => match context.waiting.try_acquire() {
                    Ok(_permit) => answer.await,
                    Err(_) => Ok(AdminAnswer::busy("too many requests of this kind wait")),
                },
            },
        }
    }
}
