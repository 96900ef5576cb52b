//! Validation of configured hosts.

use std::net::IpAddr;

use hickory_resolver::proto::rr::Name;

use crate::error::DiscoveryError;
use crate::host_rules::problem;

/// A host as configured: an address, or a name to look up.
#[derive(Clone, Debug)]
pub(crate) enum Host {
    Addr(IpAddr),
    Name(Name),
}

impl Host {
    /// Parses `text` as an IP address or as a host name (RFC 1123, with underscores). A name that ends in a dot is absolute,
    /// so no search domain is added to it.
    pub(crate) fn parse(text: &str) -> Result<Self, DiscoveryError> {
        if let Ok(addr) = text.parse() {
            return Ok(Self::Addr(addr));
        }
        let invalid = |problem: &str| DiscoveryError::Config {
            what: format!("host {text:?}").into(),
            problem: problem.into(),
            source: None,
        };
        if let Some(problem) = problem(text) {
            return Err(invalid(problem));
        }
        match Name::from_ascii(text) {
            Ok(name) => Ok(Self::Name(name)),
            Err(error) => Err(invalid(&error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_and_host_names() {
        for addr in ["10.0.0.1", "::1", "2001:db8::7"] {
            assert!(matches!(Host::parse(addr), Ok(Host::Addr(_))), "{addr}");
        }
        for name in [
            "node1",
            "node1.example.com",
            "node1.example.com.",
            "a_b.svc",
            "xn--bcher-kva.example",
            "1.2.3.4.example",
            "3com.com",
        ] {
            assert!(matches!(Host::parse(name), Ok(Host::Name(_))), "{name}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_a_host() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = ["a".repeat(60).as_str(); 5].join(".");
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "-a",
            "a-",
            "a b",
            "a:80",
            "[::1]",
            "bücher.example",
            "300.1.1.1",
            "10.0.0",
            "*.example.com",
            "a\\046b",
            &long_label,
            &long_name,
        ] {
            let error = Host::parse(text).expect_err(text);
            assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
            assert!(error.to_string().starts_with("host \""), "{error}");
        }
    }
}
