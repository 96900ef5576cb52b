//! The routes: one function a request. No file here knows HTTP or sockets.

mod backends;
mod config;
mod context;
mod explain;
mod listeners;
mod log_level;
#[cfg(feature = "metrics")]
mod metrics;
mod overrides;
mod page;
mod ready;
mod route;
mod sessions;

use route::AdminRoute;

use super::answer::AdminAnswer;
use super::status;

pub(super) use context::{RouteContext, RouteRequest};

/// The route of a path. `writes` is whether the request changes state.
pub(super) fn find(path: &str, writes: bool) -> Result<&'static AdminRoute, NoRoute> {
    let all = ROUTES.iter().chain(page::PAGE);
    let mut at_path = all.filter(|route| route.path == path).peekable();
    at_path.peek().ok_or(NoRoute::Path)?;
    let mut fitting = at_path.filter(|route| route.writes == writes);
    fitting.next().ok_or(NoRoute::Method)
}

/// The methods of a path, for the header `Allow`. Empty for a path without requests.
pub(super) fn allowed(path: &str) -> &'static str {
    match (find(path, false), find(path, true)) {
        (Ok(_), Ok(_)) => "GET, HEAD, POST",
        (Ok(_), Err(_)) => "GET, HEAD",
        (Err(_), Ok(_)) => "POST",
        (Err(_), Err(_)) => "",
    }
}

/// Why a request has no route.
#[derive(Clone, Copy, Debug)]
pub(super) enum NoRoute {
    Method,
    Path,
}

const ROUTES: &[AdminRoute] = &[
    AdminRoute::post("/close", sessions::CLOSE, sessions::close),
    AdminRoute::get("/config", &[], config::config),
    AdminRoute::post("/drain", overrides::BACKEND, overrides::drain),
    AdminRoute::get_later("/explain", explain::PARAMETERS, explain::explain),
    AdminRoute::get("/livez", &[], |_, _| Ok(AdminAnswer::text(200, "ok\n"))),
    AdminRoute::get("/log_level", &[], log_level::get),
    AdminRoute::post("/log_level", log_level::PARAMETERS, log_level::set),
    AdminRoute::post("/max_conns", overrides::MAX_CONNS, overrides::max_conns),
    #[cfg(feature = "metrics")]
    AdminRoute::get("/metrics", metrics::PARAMETERS, metrics::metrics),
    AdminRoute::post("/ready", overrides::BACKEND, overrides::ready),
    AdminRoute::get("/readyz", &[], ready::ready),
    AdminRoute::get("/requests", &[], |_, _| Ok(requests())),
    AdminRoute::get("/sessions", sessions::LIST, sessions::list),
    AdminRoute::get("/status.json", &[], |context, _| {
        let status = status::collect(&context.handle, &context.program);
        Ok(AdminAnswer::json(200, &status))
    }),
    AdminRoute::post("/undrain", overrides::BACKEND, overrides::undrain),
    AdminRoute::post("/weight", overrides::WEIGHT, overrides::weight),
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
