//! The answer to a request.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, interval_at, sleep, sleep_until};

use super::store::Scope;
use super::write::{ObjectPath, exchange};
use super::{Fault, Request, Shared, State};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

pub(super) async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let token = request.headers().get(AUTHORIZATION);
    let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let seen = Request {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        token: token.map(str::to_owned),
    };
    let content = request.headers().get(CONTENT_TYPE);
    let content = content.map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
    let body = match seen.method.as_str() {
        "GET" => Bytes::new(),
        _ => match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Ok(say(400, error.to_string())),
        },
    };
    shared.lock().requests.push(seen.clone());
    let plan = plan(&mut shared.lock(), &seen, &content, &body);
    if seen.method != "GET" {
        shared.notify();
    }
    Ok(match plan {
        Plan::Say(code, text) => say(code, text),
        Plan::Redirect(location) => {
            let mut response = say(302, String::new());
            let location = location.parse().unwrap();
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Plan::Slowly(text) => slowly(text),
        Plan::Throttled(code, text, seconds) => {
            let mut response = say(code, text);
            let value = seconds.to_string().parse().unwrap();
            response.headers_mut().insert(RETRY_AFTER, value);
            response
        }
        Plan::Endlessly(code) => endlessly(code),
        Plan::Nothing => future::pending().await,
        Plan::Watch(scope, version) => watch(shared, scope, version, &seen),
    })
}

enum Plan {
    Say(u16, String),
    Redirect(&'static str),
    Slowly(String),
    Throttled(u16, String, u32),
    /// A status, and an object that never ends.
    Endlessly(u16),
    Nothing,
    Watch(Scope, u64),
}

fn plan(state: &mut State, request: &Request, content: &str, body: &[u8]) -> Plan {
    let failure = |code: u16, reason: &str, message: &str| {
        let (code, text) = failure(code, reason, message);
        Plan::Say(code, text)
    };
    match state.fault {
        Fault::Frozen => return Plan::Nothing,
        Fault::Garbage => return Plan::Say(200, "<html>Welcome to nginx!</html>".to_owned()),
        Fault::EndlessComplaint => return Plan::Endlessly(500),
        Fault::Redirected => return Plan::Redirect("https://login.example/?state=1"),
        Fault::Status(code) => return failure(code, "", "set to fail"),
        Fault::Throttled(code, seconds) => {
            let status = status(code, "TooManyRequests", "set to fail").to_string();
            return Plan::Throttled(code, status, seconds);
        }
        _ => {}
    }
    if state.token.is_some() && state.token != request.token {
        return failure(401, "Unauthorized", "Unauthorized");
    }
    let Some(Place { scope, object }) = place(request, body) else {
        return Plan::Say(404, "404 page not found".to_owned());
    };
    if state.forbidden.contains(&scope.resource) {
        let message = format!(
            "{} is forbidden: User \"system:serviceaccount:default:lb\" cannot list resource \"{}\"",
            scope.resource, scope.resource
        );
        return failure(403, "Forbidden", &message);
    }
    if let Some(object) = object {
        let (code, text) = exchange(state, request, &object, content, body);
        return Plan::Say(code, text);
    }
    if parameter(request, "labelSelector").is_some_and(|selector| selector.contains("((")) {
        return failure(400, "BadRequest", "unable to parse requirement: found '(('");
    }
    if request.is_watch() {
        let version = parameter(request, "resourceVersion");
        let version = version.and_then(|v| v.parse().ok()).unwrap_or(0);
        if state.fault == Fault::Gone {
            return failure(410, "Expired", "too old resource version");
        }
        Plan::Watch(scope, version)
    } else {
        let list = list(state, request, &scope);
        match state.fault {
            Fault::Slow => Plan::Slowly(list),
            Fault::EndlessList => Plan::Endlessly(200),
            Fault::DeepLists => {
                let deep = "[".repeat(1_000_000);
                Plan::Say(
                    200,
                    list.replace(r#""items":["#, &format!(r#""items":[{deep}"#)),
                )
            }
            _ => Plan::Say(200, list),
        }
    }
}

fn list(state: &State, request: &Request, scope: &Scope) -> String {
    let limit = parameter(request, "limit").map_or(usize::MAX, |l| l.parse().unwrap());
    let after = parameter(request, "continue").unwrap_or_default();
    let (items, more) = match state.fault {
        Fault::EmptyLists => (Vec::new(), false),
        Fault::EndlessPages => (state.store.page(scope, "", limit).0, true),
        _ => state.store.page(scope, &after, limit),
    };
    let mut metadata = json!({"resourceVersion": state.store.version().to_string()});
    if more {
        let last = &items.last().unwrap()["metadata"];
        let text = |field: &str| last[field].as_str().unwrap_or_default();
        metadata["continue"] = json!(format!("{}/{}", text("namespace"), text("name")));
    }
    json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}).to_string()
}

/// The events from `version` on, until the time-out that the client asked for.
fn watch(shared: Arc<Shared>, scope: Scope, version: u64, request: &Request) -> Response<Body> {
    let seconds = parameter(request, "timeoutSeconds").map_or(60, |s| s.parse().unwrap());
    let bookmarks = parameter(request, "allowWatchBookmarks").is_some();
    let (faults, restores, every) = {
        let state = shared.lock();
        (
            state.faults,
            state.restores,
            state.bookmark_every.filter(|_| bookmarks),
        )
    };
    let watching = Watching {
        changed: shared.changed.subscribe(),
        shared,
        scope,
        from: version,
        version,
        faults,
        restores,
        is_new: true,
        until: Instant::now() + Duration::from_secs(seconds),
        bookmarks: every.map(|every| interval_at(Instant::now() + every, every)),
        end: None,
    };
    let lines = stream::unfold(watching, |mut watching| async {
        let line = watching.next().await?;
        Some((line, watching))
    });
    streamed(lines)
}

struct Watching {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    scope: Scope,
    /// The version that the client began with: it sees no earlier change.
    from: u64,
    /// The version that the client has seen.
    version: u64,
    faults: u64,
    restores: u64,
    is_new: bool,
    until: Instant,
    bookmarks: Option<Interval>,
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Cut,
    InOrder,
}

impl Watching {
    async fn next(&mut self) -> Option<Result<String, std::io::Error>> {
        match self.end {
            None => {}
            Some(End::InOrder) => return None,
            Some(End::Cut) => {
                // The kernel must have sent the bytes before the connection breaks.
                sleep(Duration::from_millis(50)).await;
                return Some(Err(std::io::Error::other("cut off")));
            }
        }
        let mut bookmark = false;
        loop {
            self.changed.mark_unchanged();
            let (fault, faults, now, events) = {
                let mut state = self.shared.lock();
                let is_new = std::mem::take(&mut self.is_new);
                let forgotten = is_new && !state.store.remembers(self.version);
                if forgotten || state.fault == Fault::GoneEvent {
                    self.end = Some(End::InOrder);
                    let gone = status(410, "Expired", "too old resource version");
                    return Some(Ok(
                        json!({"type": "ERROR", "object": gone}).to_string() + "\n"
                    ));
                }
                if std::mem::replace(&mut self.restores, state.restores) != state.restores {
                    self.version = state.restored_at;
                }
                let events = state.store.events(&self.scope, self.version);
                self.version = self.version.max(state.store.version());
                let fault = state.fault;
                if fault == Fault::CutWatch && !events.is_empty() {
                    state.fault = Fault::None;
                }
                (fault, state.faults, state.store.version(), events)
            };
            match fault {
                Fault::Frozen => future::pending().await,
                Fault::EndWatches => return None,
                Fault::BareBookmarks => return Some(Ok(bookmark_at(""))),
                Fault::GarbageEvents => return Some(Ok("{\"type\": \"ADDED\"\n".to_owned())),
                Fault::LongEvents => {
                    let event = json!({"type": "ADDED", "object": "y".repeat(1 << 20)});
                    return Some(Ok(event.to_string() + "\n"));
                }
                Fault::LongLine => {
                    self.end = Some(End::InOrder);
                    return Some(Ok("<html>".to_owned() + &"x".repeat(1 << 20)));
                }
                Fault::CutWatch if !events.is_empty() => {
                    self.end = Some(End::Cut);
                    let half = events[0][..events[0].len() / 2].to_owned();
                    return Some(Ok(half));
                }
                _ => {}
            }
            if !events.is_empty() {
                return Some(Ok(events.concat()));
            }
            if faults != self.faults {
                return None;
            }
            if std::mem::take(&mut bookmark) && now > self.from {
                return Some(Ok(bookmark_at(&now.to_string())));
            }
            if self.end.is_some() {
                return None;
            }
            tokio::select! {
                _ = self.changed.changed() => {}
                // The last line of a watch is the version to continue from.
                () = sleep_until(self.until) => {
                    self.end = Some(End::InOrder);
                    bookmark = self.bookmarks.is_some();
                }
                () = tick(&mut self.bookmarks) => bookmark = true,
            }
        }
    }
}

fn bookmark_at(version: &str) -> String {
    let metadata = json!({"resourceVersion": version});
    let object = json!({"kind": "X", "apiVersion": "v1", "metadata": metadata});
    json!({"type": "BOOKMARK", "object": object}).to_string() + "\n"
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => future::pending().await,
    }
}

/// What a request is about.
struct Place {
    scope: Scope,
    /// The one object, unless the request lists or watches.
    object: Option<ObjectPath>,
}

const APIS: [&str; 9] = [
    "/api/v1/",
    "/apis/apiextensions.k8s.io/v1/",
    "/apis/apps/v1/",
    "/apis/coordination.k8s.io/v1/",
    "/apis/discovery.k8s.io/v1/",
    "/apis/events.k8s.io/v1/",
    "/apis/gateway.networking.k8s.io/v1/",
    "/apis/gateway.networking.k8s.io/v1beta1/",
    "/apis/kube-lb.internal/v1alpha1/",
];

fn place(request: &Request, body: &[u8]) -> Option<Place> {
    let mut prefixes = APIS.iter();
    let path = prefixes.find_map(|prefix| request.path.strip_prefix(prefix))?;
    let (namespace, resource, rest) = match path.split('/').collect::<Vec<_>>()[..] {
        ["namespaces", namespace, resource, ref rest @ ..] => (namespace, resource, rest.to_vec()),
        [resource, ref rest @ ..] => ("", resource, rest.to_vec()),
        [] => return None,
    };
    let key = |name: &str| (resource.to_owned(), namespace.to_owned(), name.to_owned());
    let object = match rest[..] {
        [] if request.method == "POST" => {
            let object: Value = serde_json::from_slice(body).ok()?;
            Some((key(object["metadata"]["name"].as_str()?), false))
        }
        [] => None,
        [name] => Some((key(name), false)),
        [name, "status"] => Some((key(name), true)),
        _ => return None,
    };
    let labels = parameter(request, "labelSelector").unwrap_or_default();
    let labels = labels.split(',').filter_map(|label| label.split_once('='));
    let name = parameter(request, "fieldSelector");
    Some(Place {
        scope: Scope {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            name: name.map(|field| field.strip_prefix("metadata.name=").unwrap().to_owned()),
        },
        object: object.map(|(key, is_status)| ObjectPath { key, is_status }),
    })
}

/// A failure as the server says it.
pub(super) fn failure(code: u16, reason: &str, message: &str) -> (u16, String) {
    (code, status(code, reason, message).to_string())
}

pub(super) fn parameter(request: &Request, name: &str) -> Option<String> {
    let mut parameters = form_urlencoded::parse(request.query.as_bytes());
    parameters.find_map(|(known, value)| (known == name).then(|| value.into_owned()))
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn say(code: u16, text: String) -> Response<Body> {
    let body = Full::from(text).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn slowly(text: String) -> Response<Body> {
    let bytes = stream::iter(text.into_bytes()).then(|byte| async move {
        sleep(Duration::from_secs(1)).await;
        Ok(char::from(byte).to_string())
    });
    streamed(bytes)
}

fn endlessly(code: u16) -> Response<Body> {
    let beginning = stream::iter([Ok(r#"{"items": [""#.to_owned())]);
    let rest = stream::repeat_with(|| Ok("x".repeat(65536)));
    let mut response = streamed(beginning.chain(rest));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn streamed(
    lines: impl Stream<Item = Result<String, std::io::Error>> + Send + 'static,
) -> Response<Body> {
    let frames = lines.map(|line| line.map(|line| Frame::data(Bytes::from(line))));
    Response::new(StreamBody::new(frames).boxed_unsync())
}
