//! HTTP on one connection of an admin server.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::select;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;

use super::header_wait::HeaderWait;
use super::shared::ServerShared;
use super::stop::Stop;
use crate::admin::access::{AccessError, AccessHeaders};
use crate::admin::answer::{AdminAnswer, RequestError};
use crate::admin::peer::AdminPeer;
use crate::admin::query::Parameters;
use crate::admin::routes::{self, NoRoute, RouteRequest};
use crate::admin::settings::AdmissionRules;

/// The time in which a client must send the headers of a request, also of the next one on its connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The time in which it must send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The time in which a client must take a further part of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time after which a connection ends in any case.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// The time in which a request is received and answered once the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The most bytes of the headers, and the most headers.
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// The most bytes of a body.
const MAX_BODY: usize = 8 * 1024;

/// For the page: it may load and ask this server alone, and no text that it shows can become a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the requests of one client until it closes, or until a limit ends the connection. After `stop` it answers the request that
/// the client has begun, or the first one of a client that has connected just now.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: AdminPeer,
    shared: Arc<ServerShared>,
    wait: &HeaderWait,
    stop: &Stop,
) {
    let has_asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        has_asked.store(true, Relaxed);
        let shared = Arc::clone(&shared);
        async move {
            let _answered = wait.interrupt();
            let mut response = respond(request, peer, &shared).await;
            if stop.is_requested() {
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
    // Errors are those of the client.
    let _ = timeout(CONNECTION_TIMEOUT, async {
        let mut connection = pin!(connection);
        select! {
            _ = connection.as_mut() => return,
            // Before the first request this would close the connection without an answer.
            () = stop.requested() => if has_asked.load(Relaxed) {
                connection.as_mut().graceful_shutdown();
            },
        }
        let _ = timeout(STOP_TIMEOUT, connection).await;
    })
    .await;
}

async fn respond(
    request: Request<Incoming>,
    peer: AdminPeer,
    shared: &ServerShared,
) -> Response<Full<Bytes>> {
    let allowed = routes::allowed(request.uri().path());
    let answered = answer(request, peer, shared).await;
    let answer = answered.unwrap_or_else(AdminAnswer::from);
    let retry_after = answer
        .retry_after
        .map(|seconds| HeaderValue::from(u16::from(seconds)));
    let mut response = Response::new(Full::new(answer.body.into()));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    // A reload may have taken the network or the group of an open connection away.
    if !shared.rules().admits(peer) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let fixed = [
        (CONTENT_TYPE, answer.content_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if answer.status == 405 {
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds);
    }
    response
}

async fn answer(
    request: Request<Incoming>,
    peer: AdminPeer,
    shared: &ServerShared,
) -> Result<AdminAnswer, RequestError> {
    let rules = shared.rules();
    let writes = match *request.method() {
        Method::GET | Method::HEAD => false,
        Method::POST => true,
        _ => return Err(no_method()),
    };
    admit(&rules, peer, request.headers(), writes).inspect_err(|&error| {
        let asked = format!("{} {}", request.method(), request.uri().path());
        shared.note_refused(peer, error, &asked);
    })?;
    let route = routes::find(request.uri().path(), writes).map_err(|error| match error {
        NoRoute::Method => no_method(),
        NoRoute::Path => RequestError::not_found("there is nothing here; GET /requests lists all"),
    })?;
    let query = request
        .uri()
        .query()
        .unwrap_or_default()
        .as_bytes()
        .to_vec();
    let accept = request.headers().get(ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let accept = accept.unwrap_or_default().to_owned();
    let body = match writes {
        true => form(request).await?,
        false => Bytes::new(),
    };
    let parameters = Parameters::decode(&[&query, &body], route.parameters)?;
    let by = match (peer, &rules.token) {
        (AdminPeer::Tcp(_), Some(_)) => format!("{peer} with the token"),
        _ => peer.to_string(),
    };
    let request = RouteRequest {
        parameters,
        by: &by,
        accept: &accept,
    };
    route.answer(&shared.context, &request).await
}

fn admit(
    rules: &AdmissionRules,
    peer: AdminPeer,
    headers: &HeaderMap,
    writes: bool,
) -> Result<(), AccessError> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let headers = AccessHeaders {
        host: text(HOST),
        origin: text(ORIGIN),
        fetch_site: text(HeaderName::from_static("sec-fetch-site")),
        fetch_mode: text(HeaderName::from_static("sec-fetch-mode")),
        fetch_dest: text(HeaderName::from_static("sec-fetch-dest")),
        authorization: headers.get(AUTHORIZATION).map(HeaderValue::as_bytes),
        is_marked: headers.contains_key("x-lb-admin"),
    };
    match writes {
        true => rules.check_write(peer, headers, rustix::process::geteuid().as_raw()),
        false => rules.check_read(peer, headers),
    }
}

/// The form in the body, empty without one.
async fn form(request: Request<Incoming>) -> Result<Bytes, RequestError> {
    let kind = request.headers().get(CONTENT_TYPE);
    let is_form = kind.is_none_or(|kind| {
        let kind = kind.as_bytes().split(|&byte| byte == b';').next();
        kind.is_some_and(|kind| {
            kind.trim_ascii()
                .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        })
    });
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = timeout(BODY_TIMEOUT, body)
        .await
        .map_err(|_| RequestError {
            status: 408,
            text: "the body did not arrive in time".to_owned(),
        })?;
    let body = body.map_err(|_| RequestError {
        status: 413,
        text: format!("the body is longer than {MAX_BODY} bytes, or broken"),
    })?;
    let body = body.to_bytes();
    match body.is_empty() || is_form {
        true => Ok(body),
        false => Err(RequestError {
            status: 415,
            text: "the body must be a form (application/x-www-form-urlencoded)".to_owned(),
        }),
    }
}

fn no_method() -> RequestError {
    RequestError {
        status: 405,
        text: "this method does not exist here; GET /requests lists all".to_owned(),
    }
}

impl From<AccessError> for RequestError {
    fn from(error: AccessError) -> Self {
        let status = match error {
            AccessError::Host => 421,
            AccessError::Token | AccessError::WrongToken => 401,
            _ => 403,
        };
        Self {
            status,
            text: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
