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
use crate::sources::kubernetes::api::access::Access;
use crate::sources::kubernetes::error::{self, Failure};
use crate::sources::kubernetes::objects::record::Record;

/// The most bytes of a page. An object has at most 1.5 MiB in etcd, and a page that is larger than this can be had in
/// smaller ones.
const MAX_PAGE: usize = 64 << 20;

/// The most bytes of one event of a watch.
const MAX_EVENT: usize = 8 << 20;

/// The most bytes that are read of an answer which says what is wrong.
const MAX_COMPLAINT: u64 = 64 << 10;

/// Made for one watch, with clients and credentials of its own.
#[derive(Clone)]
pub(crate) struct Session {
    access: Arc<Access>,
    url: Arc<str>,
    destination: Arc<str>,
    limits: Limits,
}

/// How long requests may take, and how much they ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) request_timeout: Duration,
    pub(crate) watch_timeout: Duration,
    pub(crate) relist_interval: Duration,
    pub(crate) page_size: u32,
}

/// Which objects of a kind are meant.
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

impl Session {
    pub(crate) fn new(access: Access, url: &str, limits: Limits) -> Self {
        Self {
            destination: access.loaded.destination().into(),
            access: Arc::new(access),
            url: url.into(),
            limits,
        }
    }

    /// Which API server the connections [lead](crate::sources::kubernetes::config::kubeconfig::Loaded::destination) to.
    pub(crate) fn destination(&self) -> &Arc<str> {
        &self.destination
    }

    pub(crate) fn relist_interval(&self) -> Duration {
        self.limits.relist_interval
    }

    /// Whether a server that said nothing for so long may have nothing to say for other reasons than that nothing
    /// happened. It sends a bookmark before it ends a watch, if it has come any further.
    pub(crate) fn is_silence(&self, time: Duration) -> bool {
        time >= self.limits.watch_timeout
    }

    /// Objects that become the record `R`. `of` tells in messages whose they are.
    pub(crate) fn query<R: Record>(
        &self,
        namespace: Option<&str>,
        selection: Selection<'_>,
        of: &str,
    ) -> Query {
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

    /// One page of a list, as it is in etcd and not in some server's memory: an old list must not replace a new one.
    pub(crate) async fn page<K>(
        &self,
        query: &Query,
        continue_token: Option<String>,
    ) -> Result<ObjectList<K>, Failure>
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
        let access = self.access.get().await.map_err(Failure::Other)?;
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
        serde_json::from_slice(&page).map_err(|e| Failure::Other(garbage(query, &e)))
    }

    /// Begins to watch what changed after `version`.
    pub(crate) async fn watch(&self, query: &Query, version: &str) -> Result<Lines, Failure> {
        let seconds = self.limits.watch_timeout.as_secs();
        let params = WatchParams {
            bookmarks: true,
            field_selector: query.fields.clone(),
            label_selector: query.labels.clone(),
            timeout: Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
            ..WatchParams::default()
        };
        let access = self.access.get().await.map_err(Failure::Other)?;
        self.in_time(query, "watch", async {
            let request = query
                .request
                .watch(&params, version)
                .map_err(|e| bad_request(query, &e))?;
            let body = send(query, access, request.map(Body::from)).await?;
            Ok(Lines {
                body: Box::pin(read(body)),
                line: Vec::new(),
                // The server ends the request by then; one that does not is frozen.
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
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = self.limits.request_timeout;
        timeout(limit, answer).await.unwrap_or_else(|_| {
            let problem = format!("the API server did not answer the {request} within {limit:?}");
            Err(Failure::Other(error::timeout(&query.what, problem)))
        })
    }
}

/// Sends `request`, and gives the body of an answer that is no complaint. kube would read all of a complaint, however
/// long it is.
async fn send(
    query: &Query,
    (client, authorization): (Client, Option<HeaderValue>),
    mut request: http::Request<Body>,
) -> Result<Body, Failure> {
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let answer = client.send(request).await;
    let answer = answer.map_err(|e| error::of_client(&query.what, &e))?;
    let status = answer.status();
    if status.is_redirection() {
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        return Err(error::redirected(&query.what, status.as_u16(), location));
    }
    if !status.is_client_error() && !status.is_server_error() {
        return Ok(answer.into_body());
    }
    let retry_after = answer.headers().get(RETRY_AFTER);
    // A date, which HTTP allows as well, is not read; neither does client-go.
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut said = Vec::new();
    let body = read(answer.into_body()).take(MAX_COMPLAINT);
    drop(pin!(body).read_to_end(&mut said).await); // what came of it must do
    let code = status.as_u16();
    Err(error::of_answer(&query.what, code, &said, retry_after))
}

/// The answer to a request to watch: events, one a line.
pub(crate) struct Lines {
    body: Pin<Box<dyn AsyncBufRead + Send>>,
    line: Vec<u8>,
    patience: Duration,
}

impl Lines {
    /// The next line; `None` when the server ends the answer, the connection breaks or nothing comes any more. A line
    /// that is cut off is no line: the event is sent again.
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

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

fn bad_request(query: &Query, error: &kube::core::request::Error) -> Failure {
    Failure::Other(error::config(&query.what, &error::root_cause(error)))
}

fn read(body: Body) -> impl AsyncBufRead + Send {
    let data = body.into_data_stream().map_err(io::Error::other);
    data.into_async_read()
}

fn cut(query: &Query, error: &(dyn Error + Send + Sync + 'static)) -> Failure {
    if error.is::<LengthLimitError>() {
        let problem = format!("a page has more than {MAX_PAGE} bytes: ask for smaller pages");
        return Failure::Other(error::config(&query.what, &problem));
    }
    let problem = format!("the answer was cut off: {}", error::root_cause(error));
    Failure::Other(error::unavailable(&query.what, &problem))
}

pub(crate) fn garbage(query: &Query, error: &serde_json::Error) -> DiscoveryError {
    // It may quote a whole string of the answer.
    let error = error::shortened(&error.to_string());
    let problem = format!("the answer is not what a Kubernetes API says: {error}");
    error::unavailable(&query.what, &problem)
}
