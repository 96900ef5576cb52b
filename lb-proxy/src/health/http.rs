//! The check that asks over HTTP.

use std::fmt::Write;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use lb_core::Endpoint;
use tokio::io::AsyncWriteExt;

use super::check::{CheckReport, HealthCheck};
use super::error::CheckError;
use super::http_answer::{HeadParser, HttpAnswer};
use super::probe::Probe;

/// How many bytes the head of an answer may have.
const MAX_HEAD: usize = 16 * 1024;

/// Passes if the backend answers a `GET` over HTTP/1.1 with an expected status. The body is not read.
#[derive(Clone, Debug)]
#[must_use]
#[doc(alias = "httpchk", alias = "uri")]
pub struct HttpCheck {
    path: Box<str>,
    host: Option<Box<str>>,
    headers: Box<str>,
    statuses: Vec<RangeInclusive<u16>>,
}

/// A request that cannot be sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpCheckError {
    /// A header has a name or a value that HTTP does not allow.
    #[error("the header \"{0}\" cannot be sent: HTTP does not allow this name or value")]
    Header(Box<str>),
    /// The path does not begin with a slash, or has a blank or a control character.
    #[error(
        "the path \"{0}\" cannot be asked for: it begins with a slash, and blanks are written as %20"
    )]
    Path(Box<str>),
    /// No status can be as expected.
    #[error("no status from {0} to {1} exists: give a range between 100 and 599")]
    Status(u16, u16),
}

impl HttpCheck {
    /// Asks for `path`, a query included, and expects a status from 200 to 399.
    ///
    /// # Errors
    ///
    /// [`HttpCheckError::Path`] for a path that HTTP does not allow.
    pub fn try_new(path: &str) -> Result<Self, HttpCheckError> {
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_path {
            return Err(HttpCheckError::Path(path.into()));
        }
        Ok(Self {
            path: path.into(),
            host: None,
            headers: "".into(),
            statuses: vec![200..=399],
        })
    }

    /// Sets the header `Host`. Default: the backend's name, or its address and port without one.
    ///
    /// # Errors
    ///
    /// [`HttpCheckError::Header`] for a value that HTTP does not allow.
    pub fn try_host(mut self, host: &str) -> Result<Self, HttpCheckError> {
        check_header("Host", host)?;
        self.host = Some(host.into());
        Ok(self)
    }

    /// Adds a header.
    ///
    /// # Errors
    ///
    /// [`HttpCheckError::Header`] for a name or a value that HTTP does not allow.
    pub fn try_header(mut self, name: &str, value: &str) -> Result<Self, HttpCheckError> {
        check_header(name, value)?;
        self.headers = format!("{}{name}: {value}\r\n", self.headers).into();
        Ok(self)
    }

    /// Sets which statuses are expected: one in any of these ranges. Default: 200 to 399.
    ///
    /// # Errors
    ///
    /// [`HttpCheckError::Status`] for a range without a status, or without a range.
    #[doc(alias = "expected_statuses", alias = "status")]
    pub fn try_statuses(
        mut self,
        statuses: impl IntoIterator<Item = RangeInclusive<u16>>,
    ) -> Result<Self, HttpCheckError> {
        self.statuses = statuses.into_iter().collect();
        let exists = |range: &RangeInclusive<u16>| {
            !range.is_empty() && *range.start() >= 100 && *range.end() <= 599
        };
        match self.statuses.iter().find(|range| !exists(range)) {
            Some(range) => Err(HttpCheckError::Status(*range.start(), *range.end())),
            None if self.statuses.is_empty() => Err(HttpCheckError::Status(0, 0)),
            None => Ok(self),
        }
    }

    fn expects(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(&status))
    }

    fn request(&self, probe: &Probe<'_>) -> String {
        let mut request = format!("GET {} HTTP/1.1\r\nHost: ", self.path);
        match (&self.host, &probe.backend().name, probe.endpoint()) {
            (Some(host), ..) => request.push_str(host),
            // A name may come from a source that knows no HTTP.
            (None, Some(name), _) if check_header("Host", name).is_ok() => request.push_str(name),
            (None, _, Endpoint::Unix(_)) => request.push_str("localhost"),
            (None, _, endpoint) => write!(request, "{endpoint}").expect("a String takes all"),
        }
        request.push_str("\r\nUser-Agent: lb-health-check\r\nAccept: */*\r\nConnection: close\r\n");
        request.push_str(&self.headers);
        request.push_str("\r\n");
        request
    }

    /// Asks, and returns the answer whatever its status is, with the value of the header `wanted`.
    pub(super) async fn ask(
        &self,
        probe: &Probe<'_>,
        wanted: Option<&str>,
    ) -> Result<HttpAnswer, CheckError> {
        let mut stream = probe.connect().await?;
        stream.write_all(self.request(probe).as_bytes()).await?;
        let (mut head, mut parser) = (Vec::with_capacity(512), HeadParser::new(wanted));
        let answer = stream
            .read_until(&mut head, MAX_HEAD, |head| parser.parse(head).transpose())
            .await?;
        answer.unwrap_or_else(|| Err(CheckError::unexpected(&head)))
    }
}

#[async_trait]
impl HealthCheck for HttpCheck {
    fn name(&self) -> &str {
        "http"
    }

    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        let answer = self.ask(probe, None).await?;
        let text = answer.status_line();
        match self.expects(answer.status) {
            true => Ok(CheckReport::with_text(text)),
            false => Err(CheckError::Unexpected(
                format!("unexpected status: {text}").into(),
            )),
        }
    }
}

fn check_header(name: &str, value: &str) -> Result<(), HttpCheckError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_name = !name.is_empty() && name.bytes().all(is_token);
    let is_value = value.trim() == value && !value.bytes().any(|byte| byte.is_ascii_control());
    match is_name && is_value {
        true => Ok(()),
        false => Err(HttpCheckError::Header(format!("{name}: {value}").into())),
    }
}

#[cfg(test)]
mod tests {
    use lb_core::Backend;

    use super::*;
    use crate::health::{CheckSettings, ProbeSource, Unmatched};
    use crate::net::handshake::IdleSockets;

    fn request(check: &HttpCheck, backend: &Backend, port: Option<u16>) -> String {
        let source = ProbeSource::new(&CheckSettings::default().port(port));
        let (idle, unmatched) = (IdleSockets::default(), Unmatched::default());
        check.request(&Probe::new(backend, &source, None, &idle, &unmatched))
    }

    #[test]
    fn the_host_is_the_one_set_or_the_backends() {
        let check = HttpCheck::try_new("/up?full=1").unwrap();
        let nameless = Backend::new(([192, 0, 2, 1], 80).into());
        let named = nameless.clone().name("web-1.example");
        let odd = nameless.clone().name("a\r\nb: c");
        let host = |check: &HttpCheck, backend: &Backend, port| {
            let request = request(check, backend, port);
            assert!(request.starts_with("GET /up?full=1 HTTP/1.1\r\nHost: "));
            assert!(request.ends_with("\r\n\r\n"));
            request.lines().nth(1).unwrap()[6..].to_owned()
        };
        assert_eq!(host(&check, &nameless, None), "192.0.2.1:80");
        assert_eq!(host(&check, &nameless, Some(81)), "192.0.2.1:81");
        assert_eq!(host(&check, &named, None), "web-1.example");
        assert_eq!(host(&check, &odd, None), "192.0.2.1:80");
        assert_eq!(
            host(&check, &Backend::unix(std::path::Path::new("/run/x")), None),
            "localhost"
        );
        let check = check
            .try_host("other")
            .unwrap()
            .try_header("X-Probe", "yes")
            .unwrap();
        assert_eq!(host(&check, &named, None), "other");
        assert!(request(&check, &named, None).contains("\r\nX-Probe: yes\r\n"));
    }

    #[test]
    fn what_http_does_not_allow_is_refused() {
        for path in ["", "up", "/a b", "/a\r\nX: y", "/é"] {
            let error = HttpCheck::try_new(path).unwrap_err();
            assert_eq!(error, HttpCheckError::Path(path.into()));
        }
        let check = || HttpCheck::try_new("/").unwrap();
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a", "x\r\ny"),
            ("a", " x"),
        ] {
            let error = check().try_header(name, value).unwrap_err();
            assert_eq!(
                error,
                HttpCheckError::Header(format!("{name}: {value}").into())
            );
        }
        assert!(check().try_host("a\nb").is_err());
        for (range, from, to) in [
            (99..=200, 99, 200),
            (RangeInclusive::new(300, 200), 300, 200),
            (200..=600, 200, 600),
        ] {
            let error = check().try_statuses([200..=299, range]).unwrap_err();
            assert_eq!(error, HttpCheckError::Status(from, to));
        }
        assert!(check().try_statuses([]).is_err());
        let some = check().try_statuses([200..=200, 503..=599]).unwrap();
        let expected = [199, 200, 201, 502, 503, 599].map(|status| some.expects(status));
        assert_eq!(expected, [false, true, false, false, true, true]);
    }
}
