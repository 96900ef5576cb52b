//! Names of objects, checked before they become parts of a URL.

use crate::error::DiscoveryError;
use crate::sources::kubernetes::error;

/// A namespace or the name of a Service: a DNS label (RFC 1123).
pub(crate) fn label(kind: &str, name: &str) -> Result<Box<str>, DiscoveryError> {
    check(kind, name, 63, |part| !part.contains('.'))
}

/// The name of most other objects: labels joined by dots.
pub(crate) fn subdomain(kind: &str, name: &str) -> Result<Box<str>, DiscoveryError> {
    check(kind, name, 253, |_| true)
}

fn check(
    kind: &str,
    name: &str,
    most: usize,
    fits: impl Fn(&str) -> bool,
) -> Result<Box<str>, DiscoveryError> {
    let is_label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= most && fits(name) && name.split('.').all(is_label) {
        return Ok(name.into());
    }
    let what = format!("the {kind} {name:?}");
    let problem = "not a name that Kubernetes allows: lower-case letters, digits and '-' inside";
    Err(error::config(&what, problem))
}
