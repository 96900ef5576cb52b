//! Requests to one API server, each bounded in time and in memory.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use futures::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use http::header::{AUTHORIZATION, HeaderValue, LOCATION, RETRY_AFTER};
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use kube::api::{ListParams, WatchParams};
use kube::client::Body;
use kube::core::{ObjectList, Request};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::error::DiscoveryError;
use crate::sources::kubernetes::api::answer::ApiAnswer;
use crate::sources::kubernetes::api::authenticated_client::AuthenticatedClient;
#[cfg(doc)]
use crate::sources::kubernetes::config::kubeconfig::ClusterConfig;
use crate::sources::kubernetes::controller::Collection;
use crate::sources::kubernetes::error::{self, ApiError};
use crate::sources::kubernetes::objects::projection::Projection;

/// The maximum size of a page in bytes. An object has at most 1.5 MiB in etcd, and a larger page can be requested in
/// smaller ones.
const MAX_PAGE: usize = 64 << 20;

/// The maximum size of one event of a watch, in bytes.
const MAX_EVENT: usize = 8 << 20;

/// The maximum number of bytes that are read of an error answer.
const MAX_ERROR: u64 = 64 << 10;

/// Sends requests to one API server. Each watch of a source has one, with its own connections and credentials.
#[derive(Clone)]
pub(crate) struct ApiClient {
    access: Arc<AuthenticatedClient>,
    url: Arc<str>,
    destination: Arc<str>,
    limits: RequestLimits,
}

/// How long requests may take, and how much they ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimits {
    pub(crate) request_timeout: Duration,
    pub(crate) watch_timeout: Duration,
    pub(crate) relist_interval: Duration,
    pub(crate) page_size: u32,
}

/// Selects the objects of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// For messages, as `watching endpointslices of default/echo at https://10.0.0.1:6443`.
    pub(crate) what: Box<str>,
    request: Request,
    labels: Option<String>,
    fields: Option<String>,
}

/// Which objects of a kind in a namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Selection<'a> {
    All,
    Labelled(&'a str),
    Named(&'a str),
}

impl ApiClient {
    pub(crate) fn new(access: AuthenticatedClient, url: &str, limits: RequestLimits) -> Self {
        Self {
            destination: access.loaded.destination().into(),
            access: Arc::new(access),
            url: url.into(),
            limits,
        }
    }

    /// The [destination](ClusterConfig::destination) of the connections.
    pub(crate) fn destination(&self) -> &Arc<str> {
        &self.destination
    }

    pub(crate) fn relist_interval(&self) -> Duration {
        self.limits.relist_interval
    }

    /// Whether a server that was silent for `time` may be silent for another reason than that no object changed. A server
    /// sends a bookmark before it ends a watch, if its version has grown.
    pub(crate) fn is_silence(&self, time: Duration) -> bool {
        time >= self.limits.watch_timeout
    }

    /// Selects objects of the kind that `R` projects. `of` names their owner in messages.
    pub(crate) fn query<R: Projection>(
        &self,
        namespace: Option<&str>,
        selection: Selection<'_>,
        of: &str,
    ) -> Query
    where
        R::Object: Resource<DynamicType = ()>,
    {
        let (labels, fields) = match selection {
            Selection::All => (None, None),
            Selection::Labelled(labels) => (Some(labels.to_owned()), None),
            Selection::Named(name) => (None, Some(format!("metadata.name={name}"))),
        };
        Query {
            what: format!(
                "watching {} of {of} at {}",
                R::Object::plural(&()),
                self.url
            )
            .into(),
            request: Request::new(R::Object::url_path(&(), namespace)),
            labels,
            fields,
        }
    }

    /// Selects the objects of `collection`.
    pub(crate) fn query_of(&self, collection: &Collection) -> Query {
        let (plural, scope) = (collection.plural(), collection.scope());
        Query {
            what: format!("watching {plural} of {scope} at {}", self.url).into(),
            request: Request::new(collection.path()),
            labels: collection.selector().map(str::to_owned),
            fields: None,
        }
    }

    /// Sends a single request, within the request time-out or `limit` if that is shorter. Any status is an answer, except a
    /// redirection. `what` names the request in errors.
    pub(crate) async fn exchange(
        &self,
        what: &str,
        request: http::Request<Vec<u8>>,
        limit: Duration,
    ) -> Result<ApiAnswer, DiscoveryError> {
        let limit = limit.min(self.limits.request_timeout);
        let answer = async {
            let access = self.access.get().await?;
            let answer = answer(what, access, request.map(Body::from)).await;
            let answer = answer.map_err(|error| error.into_error(what))?;
            let code = answer.status().as_u16();
            let retry_after = retry_after(&answer);
            let body = Limited::new(answer.into_body(), MAX_EVENT).collect().await;
            let body = body.map(Collected::to_bytes).map_err(|e| {
                let problem = format!("the answer was cut off: {}", error::root_cause(&*e));
                error::unavailable(what, &problem)
            })?;
            Ok(ApiAnswer {
                code,
                body: body.to_vec(),
                retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.into())),
            })
        };
        timeout(limit, answer).await.unwrap_or_else(|_| {
            let problem = format!("the API server did not answer within {limit:?}");
            Err(error::timeout(what, problem))
        })
    }

    /// Requests one page of a list: a consistent read from etcd, not from a server's cache, so that an old list never
    /// replaces a new one.
    pub(crate) async fn page<K>(
        &self,
        query: &Query,
        continue_token: Option<String>,
    ) -> Result<ObjectList<K>, ApiError>
    where
        K: Clone + DeserializeOwned,
    {
        let params = ListParams {
            continue_token,
            field_selector: query.fields.clone(),
            label_selector: query.labels.clone(),
            limit: Some(self.limits.page_size),
            ..ListParams::default()
        };
        let access = self.access.get().await.map_err(ApiError::Other)?;
        let answer = self.in_time(query, "list", async {
            let request = query
                .request
                .list(&params)
                .map_err(|e| bad_request(query, &e))?;
            let body = send(query, access, request.map(Body::from)).await?;
            let page = Limited::new(body, MAX_PAGE).collect().await;
            page.map(Collected::to_bytes).map_err(|e| cut(query, &*e))
        });
        let page = answer.await?;
        serde_json::from_slice(&page).map_err(|e| ApiError::Other(garbage(query, &e)))
    }

    /// Starts a watch of the changes after `version`.
    pub(crate) async fn watch(&self, query: &Query, version: &str) -> Result<EventLines, ApiError> {
        let seconds = self.limits.watch_timeout.as_secs();
        let params = WatchParams {
            bookmarks: true,
            field_selector: query.fields.clone(),
            label_selector: query.labels.clone(),
            timeout: Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
            ..WatchParams::default()
        };
        let access = self.access.get().await.map_err(ApiError::Other)?;
        self.in_time(query, "watch", async {
            let request = query
                .request
                .watch(&params, version)
                .map_err(|e| bad_request(query, &e))?;
            let body = send(query, access, request.map(Body::from)).await?;
            Ok(EventLines {
                body: Box::pin(read(body)),
                line: Vec::new(),
                // A server that has not ended the request by then is frozen.
                patience: self
                    .limits
                    .watch_timeout
                    .saturating_add(self.limits.request_timeout),
            })
        })
        .await
    }

    async fn in_time<T>(
        &self,
        query: &Query,
        request: &str,
        answer: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let limit = self.limits.request_timeout;
        timeout(limit, answer).await.unwrap_or_else(|_| {
            let problem = format!("the API server did not answer the {request} within {limit:?}");
            Err(ApiError::Other(error::timeout(&query.what, problem)))
        })
    }
}

/// Sends `request`, and returns the body of a successful answer. kube would read an error answer to its end, however long
/// it is.
async fn send(
    query: &Query,
    access: (Client, Option<HeaderValue>),
    request: http::Request<Body>,
) -> Result<Body, ApiError> {
    let answer = answer(&query.what, access, request).await?;
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() {
        return Ok(answer.into_body());
    }
    let retry_after = retry_after(&answer);
    let mut said = Vec::new();
    let body = read(answer.into_body()).take(MAX_ERROR);
    drop(pin!(body).read_to_end(&mut said).await); // a part is enough for the message
    let code = status.as_u16();
    Err(error::of_answer(&query.what, code, &said, retry_after))
}

/// Sends `request`, and returns the answer, whatever its status, unless it is a redirection.
async fn answer(
    what: &str,
    (client, authorization): (Client, Option<HeaderValue>),
    mut request: http::Request<Body>,
) -> Result<http::Response<Body>, ApiError> {
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let answer = client.send(request).await;
    let answer = answer.map_err(|e| error::of_client(what, &e))?;
    let status = answer.status();
    if status.is_redirection() {
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        return Err(error::redirected(what, status.as_u16(), location));
    }
    Ok(answer)
}

/// The seconds that the server asks to wait. A date, which HTTP also allows, is ignored, as in client-go.
fn retry_after(answer: &http::Response<Body>) -> Option<u32> {
    let value = answer.headers().get(RETRY_AFTER)?;
    value.to_str().ok()?.trim().parse().ok()
}

/// The answer to a watch request: one event a line.
pub(crate) struct EventLines {
    body: Pin<Box<dyn AsyncBufRead + Send>>,
    line: Vec<u8>,
    patience: Duration,
}

impl EventLines {
    /// The next line. `None` when the server ends the answer, the connection fails or no data arrives in time. An
    /// incomplete line is dropped, because the next watch sends the event again.
    pub(crate) async fn next(&mut self, query: &Query) -> Result<Option<&[u8]>, DiscoveryError> {
        self.line.clear();
        let mut body = (&mut self.body).take(MAX_EVENT as u64);
        let read = body.read_until(b'\n', &mut self.line);
        match timeout(self.patience, read).await {
            Ok(Ok(MAX_EVENT)) => {
                let problem = format!("an event has {MAX_EVENT} bytes or more");
                Err(error::unavailable(&query.what, &problem))
            }
            Ok(Ok(_)) => match self.line.strip_suffix(b"\n") {
                None if !self.line.is_empty() && !self.line.starts_with(b"{") => {
                    let said = String::from_utf8_lossy(&self.line);
                    let said = error::shortened(&said);
                    let problem = format!("the answer to a watch is no event: {said}");
                    Err(error::unavailable(&query.what, &problem))
                }
                line => Ok(line),
            },
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }
}

impl fmt::Debug for EventLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

fn bad_request(query: &Query, error: &kube::core::request::Error) -> ApiError {
    ApiError::Other(error::config(&query.what, &error::root_cause(error)))
}

fn read(body: Body) -> impl AsyncBufRead + Send {
    let data = body.into_data_stream().map_err(io::Error::other);
    data.into_async_read()
}

fn cut(query: &Query, error: &(dyn Error + Send + Sync + 'static)) -> ApiError {
    if error.is::<LengthLimitError>() {
        let problem = format!("a page has more than {MAX_PAGE} bytes: ask for smaller pages");
        return ApiError::Other(error::config(&query.what, &problem));
    }
    let problem = format!("the answer was cut off: {}", error::root_cause(error));
    ApiError::Other(error::unavailable(&query.what, &problem))
}

pub(crate) fn garbage(query: &Query, error: &serde_json::Error) -> DiscoveryError {
    // The error may quote a whole string of the answer.
    let error = error::shortened(&error.to_string());
    let problem = format!("the answer is not one of a Kubernetes API: {error}");
    error::unavailable(&query.what, &problem)
}
