//! Which texts are host names, and which addresses a backend can have.

use std::net::IpAddr;

/// The reason why `text` is no host name, if there is one.
pub(crate) fn problem(text: &str) -> Option<&'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Some("a host name must not be empty");
    }
    if name.len() > 253 {
        return Some("a host name has at most 253 characters");
    }
    if !name.is_ascii() {
        return Some("a host name outside ASCII is to be written in its xn-- form");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Some("a host name must not have empty labels");
        }
        if label.len() > 63 {
            return Some("a label of a host name has at most 63 characters");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Some("a label of a host name must not start or end with a hyphen");
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !label.chars().all(allowed) {
            return Some("a host name has letters, digits, hyphens, underscores and dots only");
        }
    }
    // No top-level domain is numeric (RFC 3696 section 2), so this was meant to be an address.
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.chars().all(|c| c.is_ascii_digit()) {
        return Some("neither an IP address nor a host name");
    }
    None
}

/// Whether `addr` can be the address of a backend. A connection to an unspecified address, which some servers return for
/// blocked names, would reach this machine.
pub(crate) fn usable(addr: IpAddr) -> bool {
    !addr.is_unspecified() && !addr.is_multicast()
}
