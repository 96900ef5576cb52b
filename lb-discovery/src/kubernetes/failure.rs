//! What went wrong, in our words.

use std::error::Error;
use std::time::Duration;

use kube::core::Status;

use crate::error::DiscoveryError;

/// How soon an object that does not exist is looked for again.
const MISSING: Duration = Duration::from_secs(5);

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered 410: what it was asked about is forgotten, so a fresh list is due.
    Gone,
    /// Anything else.
    Other(DiscoveryError),
}

impl Failure {
    /// The error for a request that must not be answered by 410.
    pub(super) fn into_error(self, what: &str) -> DiscoveryError {
        match self {
            Self::Gone => unavailable(what, "410 Gone, again and again"),
            Self::Other(error) => error,
        }
    }
}

/// Sorts what the client reports.
pub(super) fn of_client(what: &str, error: &kube::Error) -> Failure {
    Failure::Other(match error {
        kube::Error::Auth(error) => config(what, &root_cause(error)),
        error => {
            let mut problem = format!("the API server cannot be reached: {}", root_cause(error));
            if problem.contains("certificate") {
                problem.push_str("; does the kubeconfig's certificate-authority fit the server?");
            }
            unavailable(what, &problem)
        }
    })
}

/// Sorts an answer with the status `code`, of which `said` was read.
pub(super) fn of_answer(what: &str, code: u16, said: &[u8]) -> Failure {
    // Proxies in between have their own words for it.
    let status = serde_json::from_slice::<Status>(said)
        .unwrap_or_else(|_| Status::failure(&String::from_utf8_lossy(said), ""));
    of_status(what, &status.with_code(code))
}

/// Sorts an error that the server reports.
pub(super) fn of_status(what: &str, status: &Status) -> Failure {
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
        code => unavailable(what, &format!("{code}: {said}")),
    })
}

pub(super) fn config(what: &str, problem: &str) -> DiscoveryError {
    DiscoveryError::Config {
        what: what.into(),
        problem: problem.into(),
        source: None,
    }
}

/// An answer that there are no backends.
pub(super) fn no_backends(what: &str, reason: &str) -> DiscoveryError {
    DiscoveryError::NoBackends {
        what: what.into(),
        problem: reason.into(),
        valid_for: Some(MISSING),
    }
}

pub(super) fn timeout(what: &str, problem: String) -> DiscoveryError {
    DiscoveryError::Timeout {
        what: what.into(),
        problem: problem.into(),
    }
}

pub(super) fn unavailable(what: &str, problem: &str) -> DiscoveryError {
    DiscoveryError::Unavailable {
        what: what.into(),
        problem: problem.into(),
        source: None,
    }
}

fn denied(what: &str, problem: &str) -> DiscoveryError {
    DiscoveryError::Denied {
        what: what.into(),
        problem: problem.into(),
    }
}

/// The last cause of an error, whose own message repeats in those of all that wrap it.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
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
fn shortened(message: &str) -> String {
    const LIMIT: usize = 300;
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
