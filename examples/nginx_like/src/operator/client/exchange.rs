//! One request and its answer over HTTP.

use std::io;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use lb_core::Escaped;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::operator::error::OperatorError;
use crate::operator::target::Target;

/// The most bytes of an answer. The status of 100000 backends has some 50 MB.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// The most bytes of the header of an answer, and the most headers.
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// A request.
#[derive(Debug)]
pub(super) struct AdminRequest<'a> {
    pub(super) target: &'a Target,
    pub(super) method: Method,
    pub(super) path_and_query: String,
    pub(super) authorization: Option<&'a HeaderValue>,
}

impl AdminRequest<'_> {
    /// Connects, sends the request and reads the answer.
    pub(super) async fn exchange(self) -> Result<(StatusCode, Bytes), OperatorError> {
        match self.target {
            Target::Tcp { host, port } => {
                let name = host.trim_matches(['[', ']']);
                let stream = TcpStream::connect((name, *port)).await;
                self.exchange_over(stream).await
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                self.exchange_over(stream).await
            }
        }
    }

    async fn exchange_over<S>(
        self,
        stream: io::Result<S>,
    ) -> Result<(StatusCode, Bytes), OperatorError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let target = self.target;
        let stream = stream.map_err(|source| OperatorError::Connect {
            target: target.clone(),
            source,
        })?;
        let no_answer = |reason: String| OperatorError::Answer {
            target: target.clone(),
            reason,
        };
        let failed = |error: hyper::Error| no_answer(Escaped(full_text(&error)).to_string());
        let handshake = http1::Builder::new()
            .max_buf_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(failed)?;
        // Ends with the request. Its error is the request's, too.
        tokio::spawn(connection);
        let request = self
            .request()
            .map_err(|error| no_answer(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => OperatorError::AnswerTooLong {
                target: target.clone(),
                limit: MAX_ANSWER,
            },
            false => no_answer(Escaped(full_text(&*error)).to_string()),
        })?;
        Ok((status, body.to_bytes()))
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
        let host = match self.target {
            Target::Tcp { host, port } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".to_owned(),
        };
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path_and_query)
            .header(HOST, host)
            .header(ACCEPT, "application/json")
            .header(CONNECTION, "close")
            .header(
                USER_AGENT,
                concat!("nginx_like/", env!("CARGO_PKG_VERSION")),
            );
        if self.method == Method::POST {
            request = request.header("x-lb-admin", "1");
        }
        if let Some(authorization) = self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Empty::new())
    }
}

/// An error with its sources.
fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
