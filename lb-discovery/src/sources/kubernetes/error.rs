//! What went wrong, in our words.

use std::error::Error;
use std::time::Duration;

use http::Uri;
use kube::core::Status;

use crate::error::DiscoveryError;

/// How soon an object that does not exist is looked for again.
const MISSING: Duration = Duration::from_secs(5);

/// Why a request brought nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server answered 410: what it was asked about is forgotten, so a fresh list is due.
    Gone,
    /// Anything else.
    Other(DiscoveryError),
}

impl Failure {
    /// The error for a request that must not be answered by 410.
    pub(crate) fn into_error(self, what: &str) -> DiscoveryError {
        match self {
            Self::Gone => unavailable(what, "410 Gone, again and again"),
            Self::Other(error) => error,
        }
    }
}

/// Sorts what the client reports.
pub(crate) fn of_client(what: &str, error: &kube::Error) -> Failure {
    let cause = root_cause(error);
    let cause = match &*cause {
        "deadline has elapsed" => "no connection was established in time",
        cause => cause,
    };
    let hint = hint(cause);
    let problem = format!("the API server cannot be reached: {cause}{hint}");
    Failure::Other(unavailable(what, &problem))
}

/// What to do about a failure of TLS.
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

/// An answer that leads elsewhere, as `location` says.
pub(crate) fn redirected(what: &str, code: u16, location: Option<&str>) -> Failure {
    // No more than the host: the rest may hold a secret.
    let location = location.and_then(|location| location.parse::<Uri>().ok());
    let host = location
        .as_ref()
        .and_then(Uri::host)
        .unwrap_or("another path");
    let problem = format!(
        "{code}: the server redirects to {host}, as no Kubernetes API does: does something on the way ask for a login?"
    );
    Failure::Other(unavailable(what, &problem))
}

/// Sorts an answer with the status `code`, of which `said` was read. `retry_after` is what its header says, in seconds.
pub(crate) fn of_answer(what: &str, code: u16, said: &[u8], retry_after: Option<u32>) -> Failure {
    // Proxies in between have their own words for it.
    let status = serde_json::from_slice::<Status>(said)
        .unwrap_or_else(|_| Status::failure(&String::from_utf8_lossy(said), ""));
    sort(what, &status.with_code(code), retry_after)
}

/// Sorts an error that the server reports.
pub(crate) fn of_status(what: &str, status: &Status) -> Failure {
    sort(what, status, None)
}

fn sort(what: &str, status: &Status, retry_after: Option<u32>) -> Failure {
    let said = shortened(&status.message);
    Failure::Other(match status.code {
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
        410 => return Failure::Gone,
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

/// An answer that there are no backends.
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

/// An answer that is not believed, and when to ask again.
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

/// The last cause of an error, whose own message repeats in those of all that wrap it.
pub(crate) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let (own, cause) = (error.to_string(), root.to_string());
    // The outermost names the file, where there is one.
    shortened(if own.contains(&cause) && own.len() < 300 {
        &own
    } else {
        &cause
    })
}

/// A message from outside, short enough for a line of a log.
pub(crate) fn shortened(message: &str) -> String {
    const LIMIT: usize = 300;
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
