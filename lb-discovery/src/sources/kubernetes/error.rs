//! Errors of requests, and their messages.

use std::error::Error;
use std::time::Duration;

use http::Uri;
use kube::core::Status;

use crate::error::DiscoveryError;

/// How long the answer that there are no backends holds.
const MISSING: Duration = Duration::from_secs(5);

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The server answered 410: it no longer has that version, so the objects must be listed again.
    Gone,
    /// Anything else.
    Other(DiscoveryError),
}

impl ApiError {
    /// Converts to the error of a request for which 410 is a failure.
    pub(crate) fn into_error(self, what: &str) -> DiscoveryError {
        match self {
            Self::Gone => unavailable(what, "410 Gone repeatedly"),
            Self::Other(error) => error,
        }
    }
}

/// Classifies an error of the HTTP client.
pub(crate) fn of_client(what: &str, error: &kube::Error) -> ApiError {
    let cause = root_cause(error);
    let cause = match &*cause {
        "deadline has elapsed" => "no connection was established in time",
        cause => cause,
    };
    let hint = hint(cause);
    let problem = format!("the API server cannot be reached: {cause}{hint}");
    ApiError::Other(unavailable(what, &problem))
}

/// A remedy for a TLS error.
fn hint(cause: &str) -> &'static str {
    if cause.contains("not valid for name") {
        "; connect to a name or an address that the certificate has, or set tls-server-name in the kubeconfig to one"
    } else if cause.contains("certificate expired") || cause.contains("certificate not valid yet") {
        "; is this machine's clock right?"
    } else if cause.contains("CaUsedAsEndEntity") {
        "; the server's certificate is that of an authority, and cannot be a server's: give the server one with \
         basicConstraints CA:FALSE"
    } else if cause.contains("certificate") {
        "; does the kubeconfig's certificate-authority fit the server?"
    } else if cause.contains("CertificateRequired") {
        "; the server asks for a client certificate"
    } else if cause.contains("InvalidContentType") {
        "; is TLS spoken at this port?"
    } else {
        ""
    }
}

/// Describes a redirect to `location`.
pub(crate) fn redirected(what: &str, code: u16, location: Option<&str>) -> ApiError {
    // Only the host: the rest may contain a secret.
    let location = location.and_then(|location| location.parse::<Uri>().ok());
    let host = location
        .as_ref()
        .and_then(Uri::host)
        .unwrap_or("another path");
    let problem = format!(
        "{code}: the server redirects to {host}, as no Kubernetes API does: does something on the way ask for a login?"
    );
    ApiError::Other(unavailable(what, &problem))
}

/// Classifies an answer with the status `code` and the body `said`. `retry_after`: seconds, from its header.
pub(crate) fn of_answer(what: &str, code: u16, said: &[u8], retry_after: Option<u32>) -> ApiError {
    // An answer of a proxy is no `Status`.
    let status = serde_json::from_slice::<Status>(said)
        .unwrap_or_else(|_| Status::failure(&String::from_utf8_lossy(said), ""));
    classify(what, &status.with_code(code), retry_after)
}

/// Classifies an error that the server reports.
pub(crate) fn of_status(what: &str, status: &Status) -> ApiError {
    classify(what, status, None)
}

fn classify(what: &str, status: &Status, retry_after: Option<u32>) -> ApiError {
    let said = shortened(&status.message);
    ApiError::Other(match status.code {
        400 => config(what, &format!("400 Bad Request: {said}")),
        401 => denied(
            what,
            &format!(
                "401 Unauthorized: {said}; the token or certificate is missing, expired or not of this cluster"
            ),
        ),
        403 => denied(
            what,
            &format!("403 Forbidden: {said}; grant list and watch on it by RBAC"),
        ),
        404 => unavailable(
            what,
            &format!("404 Not Found: {said}; is this the API of a Kubernetes cluster?"),
        ),
        410 => return ApiError::Gone,
        code @ (429 | 500..) => {
            let details = status.details.as_ref();
            let seconds = retry_after.or_else(|| details.map(|d| d.retry_after_seconds));
            match seconds.filter(|seconds| *seconds > 0) {
                Some(seconds) => throttled(what, &format!("{code}: {said}"), seconds),
                None => unavailable(what, &format!("{code}: {said}")),
            }
        }
        code => unavailable(what, &format!("{code}: {said}")),
    })
}

fn throttled(what: &str, problem: &str, seconds: u32) -> DiscoveryError {
    DiscoveryError::Throttled {
        what: what.into(),
        problem: format!("{problem}; the server asks to wait for {seconds} s").into(),
        retry_after: Duration::from_secs(seconds.into()),
    }
}

pub(crate) fn config(what: &str, problem: &str) -> DiscoveryError {
    DiscoveryError::Config {
        what: what.into(),
        problem: problem.into(),
        source: None,
    }
}

/// Makes the error for an answer that there are no backends.
pub(crate) fn no_backends(what: &str, reason: &str) -> DiscoveryError {
    DiscoveryError::NoBackends {
        what: what.into(),
        problem: shortened(reason).into(),
        valid_for: Some(MISSING),
    }
}

pub(crate) fn timeout(what: &str, problem: String) -> DiscoveryError {
    DiscoveryError::Timeout {
        what: what.into(),
        problem: problem.into(),
    }
}

pub(crate) fn unavailable(what: &str, problem: &str) -> DiscoveryError {
    DiscoveryError::Unavailable {
        what: what.into(),
        problem: problem.into(),
        source: None,
    }
}

/// Makes the error for an answer that is not accepted. `valid_for`: when to ask again.
pub(crate) fn unusable(what: &str, problem: &str, valid_for: Duration) -> DiscoveryError {
    DiscoveryError::Unusable {
        what: what.into(),
        problem: problem.into(),
        valid_for,
    }
}

fn denied(what: &str, problem: &str) -> DiscoveryError {
    DiscoveryError::Denied {
        what: what.into(),
        problem: problem.into(),
    }
}

/// The message of the innermost cause, which the errors around it often repeat.
pub(crate) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let (own, cause) = (error.to_string(), root.to_string());
    // The outermost error names the file, if there is one.
    shortened(if own.contains(&cause) && own.len() < 300 {
        &own
    } else {
        &cause
    })
}

/// Shortens a foreign message to one line of a log.
pub(crate) fn shortened(message: &str) -> String {
    const LIMIT: usize = 300;
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
