//! A client of an admin server: one request, bounded in time and size.

mod exchange;

use std::future::Future;
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderValue;
use lb_core::Escaped;
use lb_proxy::admin::AdminToken;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::OperatorError;
use super::target::Target;
use exchange::AdminRequest;

/// A client of an admin server. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub(super) struct AdminClient {
    target: Target,
    timeout: Duration,
    /// The value of `Authorization`, hidden from `Debug`.
    authorization: Option<HeaderValue>,
    /// What may be the reason if the server refuses a request.
    refusal_hint: Option<String>,
}

/// An answer: JSON.
#[derive(Clone, Debug)]
pub(super) struct JsonAnswer {
    target: Target,
    pub(super) text: String,
}

/// The parameters of a request. Those without a value are left out.
pub(super) type Query<'a> = [(&'static str, Option<&'a str>)];

/// The body of an answer that is an error.
#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: String,
}

impl AdminClient {
    pub(super) const fn new(target: Target, timeout: Duration) -> Self {
        Self {
            target,
            timeout,
            authorization: None,
            refusal_hint: None,
        }
    }

    /// Sends the token with each request that changes state. Default: none.
    pub(super) fn token(mut self, token: &AdminToken) -> Self {
        let value = HeaderValue::from_str(&token.authorization()).ok();
        self.authorization = value.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        self
    }

    /// Sets what may be the reason if the server refuses a request. Default: none.
    pub(super) fn refusal_hint(mut self, hint: String) -> Self {
        self.refusal_hint = Some(hint);
        self
    }

    pub(super) const fn target(&self) -> &Target {
        &self.target
    }

    /// Asks for JSON.
    pub(super) async fn get(
        &self,
        path: &'static str,
        query: &Query<'_>,
    ) -> Result<JsonAnswer, OperatorError> {
        self.ask(Method::GET, path, query).await
    }

    /// Sends a request that changes state.
    pub(super) async fn post(
        &self,
        path: &'static str,
        query: &Query<'_>,
    ) -> Result<JsonAnswer, OperatorError> {
        self.ask(Method::POST, path, query).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &'static str,
        query: &Query<'_>,
    ) -> Result<JsonAnswer, OperatorError> {
        let request = AdminRequest {
            target: &self.target,
            authorization: self
                .authorization
                .as_ref()
                .filter(|_| method == Method::POST),
            path_and_query: path_and_query(path, query),
            method,
        };
        let (status, body) = self.in_time(request.exchange()).await??;
        let text = String::from_utf8(body.into())
            .map_err(|_| self.no_answer("the answer is not text".to_owned()))?;
        if !status.is_success() {
            return Err(self.error(status.as_u16(), &text));
        }
        match serde_json::from_str::<IgnoredAny>(&text) {
            Ok(_) => Ok(JsonAnswer {
                target: self.target.clone(),
                text,
            }),
            Err(_) => Err(self.no_answer("the answer is not JSON".to_owned())),
        }
    }

    async fn in_time<F: Future>(&self, future: F) -> Result<F::Output, OperatorError> {
        let timed = tokio::time::timeout(self.timeout, future).await;
        timed.map_err(|_| OperatorError::Silent {
            target: self.target.clone(),
            timeout: self.timeout,
        })
    }

    fn no_answer(&self, reason: String) -> OperatorError {
        OperatorError::Answer {
            target: self.target.clone(),
            reason,
        }
    }

    /// What to do about a refusal with the status `status`.
    fn hint(&self, status: u16) -> Option<&str> {
        // Over a unix socket the server refuses users, who may have the token.
        let needs_token = status == 401 || matches!(self.target, Target::Unix(_));
        let is_missing = needs_token && self.authorization.is_none();
        let missing = is_missing.then_some("name the file of the token with --token-file");
        self.refusal_hint.as_deref().or(missing)
    }

    /// The error of an answer with the status `status`.
    fn error(&self, status: u16, body: &str) -> OperatorError {
        let Ok(ErrorBody { error }) = serde_json::from_str(body) else {
            return self.no_answer(format!("the status is {status}, without a reason"));
        };
        match status {
            401 | 403 | 421 => OperatorError::Refused {
                target: self.target.clone(),
                text: Escaped(error).to_string(),
                hint: self
                    .hint(status)
                    .map_or_else(String::new, |hint| format!(" ({hint})")),
            },
            400 => OperatorError::Usage {
                text: Escaped(error).to_string(),
            },
            _ => OperatorError::Failed { text: error },
        }
    }
}

impl JsonAnswer {
    /// Reads the answer.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, OperatorError> {
        let read = serde_json::from_str(&self.text);
        read.map_err(|error| self.unknown(&Escaped(error).to_string()))
    }

    /// The error of an answer that is not what an admin server writes.
    pub(super) fn unknown(&self, reason: &str) -> OperatorError {
        OperatorError::Answer {
            target: self.target.clone(),
            reason: reason.to_owned(),
        }
    }

    pub(super) const fn target(&self) -> &Target {
        &self.target
    }
}

fn path_and_query(path: &str, query: &Query<'_>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in query {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    let form = form.finish();
    match form.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{form}"),
    }
}
