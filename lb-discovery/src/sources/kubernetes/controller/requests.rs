//! Single requests to an API server.

use std::fmt;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::Mutex;

use crate::error::DiscoveryError;
use crate::sources::kubernetes::api::answer::ApiAnswer;
use crate::sources::kubernetes::api::api_client::ApiClient;
use crate::sources::kubernetes::cluster::Cluster;
use crate::sources::kubernetes::error;

/// What a request does.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ApiMethod {
    /// `DELETE`.
    Delete,
    /// `GET`.
    Get,
    /// `PATCH` with this type of content, such as `application/apply-patch+yaml`.
    Patch(&'static str),
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
}

/// A request to the API server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiRequest {
    method: ApiMethod,
    path_and_query: String,
    body: Vec<u8>,
    accept: &'static str,
}

/// What a server may answer with.
const JSON: &str = "application/json";

/// The metadata of an object, or the whole object from a server that cannot leave the rest out.
const METADATA: &str =
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";

impl ApiRequest {
    /// A request without a body. The path begins with `/api` or `/apis`; the caller escapes what is no name.
    pub fn new(method: ApiMethod, path_and_query: impl Into<String>) -> Self {
        Self {
            method,
            path_and_query: path_and_query.into(),
            body: Vec::new(),
            accept: JSON,
        }
    }

    /// Asks for the metadata of an object alone, for large objects of which nothing else is read.
    #[must_use]
    pub fn metadata_only(mut self) -> Self {
        self.accept = METADATA;
        self
    }

    /// Sets the body, which is JSON.
    #[must_use]
    pub fn body(mut self, json: impl Into<Vec<u8>>) -> Self {
        self.body = json.into();
        self
    }
}

/// Sends single requests with the credentials of a [`Cluster`].
///
/// Credentials are read when the first request is sent, and again after the server could not be reached or refused them. It
/// neither repeats a request nor waits: the program does.
pub struct ApiRequests {
    cluster: Cluster,
    client: Mutex<Option<ApiClient>>,
}

impl ApiRequests {
    /// Connects to nothing yet.
    pub fn new(cluster: &Cluster) -> Self {
        Self {
            cluster: cluster.clone(),
            client: Mutex::new(None),
        }
    }

    /// Sends `request`, and waits for the answer at most `limit` and the [`request_timeout`](Cluster::request_timeout).
    ///
    /// # Errors
    ///
    /// Without an answer: [`DiscoveryError::Config`], [`Timeout`](DiscoveryError::Timeout) or
    /// [`Unavailable`](DiscoveryError::Unavailable). The server may have carried out the request nevertheless.
    pub async fn send(
        &self,
        request: &ApiRequest,
        limit: Duration,
    ) -> Result<ApiAnswer, DiscoveryError> {
        let what = request.to_string();
        let client = self.client().await?;
        let answer = client.exchange(&what, request.to_http(&what)?, limit).await;
        if !matches!(&answer, Ok(answer) if answer.code != 401) {
            *self.client.lock().await = None;
        }
        answer
    }

    async fn client(&self) -> Result<ApiClient, DiscoveryError> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        Ok(client.insert(self.cluster.open().await?).clone())
    }
}

impl fmt::Debug for ApiRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiRequests")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// As `PATCH /api/v1/…`, without the query.
impl fmt::Display for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        write!(f, "{} {path}", self.method.name())
    }
}

impl ApiMethod {
    const fn name(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Patch(_) => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

impl ApiRequest {
    fn to_http(&self, what: &str) -> Result<http::Request<Vec<u8>>, DiscoveryError> {
        let content = match self.method {
            ApiMethod::Patch(content) => content,
            _ => "application/json",
        };
        http::Request::builder()
            .method(self.method.name())
            .uri(&self.path_and_query)
            .header(ACCEPT, self.accept)
            .header(CONTENT_TYPE, content)
            .body(self.body.clone())
            .map_err(|problem| error::config(what, &problem.to_string()))
    }
}
