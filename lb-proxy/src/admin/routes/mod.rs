//! What each request does. No file here knows HTTP or sockets.

mod backends;
mod config;
mod explain;
mod log_level;
#[cfg(feature = "metrics")]
mod metrics;
mod overrides;
mod page;
mod ready;
mod sessions;

use super::answer::{AdminAnswer, RequestError};
use super::program::Program;
use super::query::Parameters;
use super::status;
use crate::Handle;

/// What the routes read and change.
#[derive(Debug)]
pub(super) struct RouteContext {
    pub(super) handle: Handle,
    pub(super) program: Program,
    /// The metrics of the server.
    #[cfg(feature = "metrics")]
    pub(super) registry: prometheus_client::registry::Registry,
}

/// A request that was admitted.
#[derive(Debug)]
pub(super) struct RouteRequest<'a> {
    pub(super) parameters: Parameters,
    /// What sent it, for logs and the origin of overrides.
    pub(super) by: &'a str,
    /// The types of documents that the client accepts.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "for metrics"))]
    pub(super) accept: &'a str,
}

type Answered = Result<AdminAnswer, RequestError>;

/// A path and what it does.
pub(super) struct Route {
    pub(super) path: &'static str,
    /// Whether it changes state: a `POST`.
    pub(super) writes: bool,
    /// The names of its parameters.
    pub(super) parameters: &'static [&'static str],
    pub(super) answer: fn(&RouteContext, &RouteRequest<'_>) -> Answered,
}

impl Route {
    const fn get(
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

    const fn post(
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

    pub(super) fn find(path: &str) -> Option<&'static Self> {
        let mut all = ROUTES.iter().chain(page::PAGE);
        all.find(|route| route.path == path)
    }
}

const ROUTES: &[Route] = &[
    Route::post("/close", sessions::CLOSE, sessions::close),
    Route::get("/config", &[], config::config),
    Route::post("/drain", overrides::BACKEND, overrides::drain),
    Route::get("/explain", explain::PARAMETERS, explain::explain),
    Route::get("/livez", &[], |_, _| Ok(AdminAnswer::text(200, "ok\n"))),
    Route::post("/log_level", log_level::PARAMETERS, log_level::set),
    Route::post("/max_conns", overrides::MAX_CONNS, overrides::max_conns),
    #[cfg(feature = "metrics")]
    Route::get("/metrics", &[], metrics::metrics),
    Route::post("/ready", overrides::BACKEND, overrides::ready),
    Route::get("/readyz", &[], ready::ready),
    Route::get("/requests", &[], |_, _| Ok(requests())),
    Route::get("/sessions", sessions::LIST, sessions::list),
    Route::get("/status.json", &[], |context, _| {
        let status = status::collect(&context.handle, &context.program);
        Ok(AdminAnswer::json(200, &status))
    }),
    Route::post("/undrain", overrides::BACKEND, overrides::undrain),
    Route::post("/weight", overrides::WEIGHT, overrides::weight),
];

/// The list of all requests but those of the page.
fn requests() -> AdminAnswer {
    let lines = ROUTES.iter().map(|route| {
        let method = if route.writes { "POST" } else { "GET" };
        let parameters = route.parameters.join("=&");
        match route.parameters {
            [] => format!("{method} {}\n", route.path),
            _ => format!("{method} {}?{parameters}=\n", route.path),
        }
    });
    AdminAnswer::text(200, lines.collect::<String>())
}
