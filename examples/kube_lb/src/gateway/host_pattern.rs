//! Host names of listeners and routes, and how they intersect.

use std::fmt;

/// The names that a listener or a route is for.
///
/// Any two patterns either have no name in common, or one of them covers the other.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum HostPattern {
    /// Every name, and clients that name none.
    Any,
    /// All names below a domain, with any number of labels in front: `*.example.com`.
    Below(Box<str>),
    /// One name.
    Exact(Box<str>),
}

impl HostPattern {
    /// The pattern of a host name as the API has it. `None` and an empty text are [`Any`](Self::Any).
    pub(crate) fn parse(hostname: Option<&str>) -> Self {
        let Some(hostname) = hostname.filter(|name| !name.is_empty()) else {
            return Self::Any;
        };
        let hostname = hostname.to_ascii_lowercase();
        match hostname.strip_prefix("*.") {
            Some(domain) => Self::Below(domain.into()),
            None => Self::Exact(hostname.into()),
        }
    }

    /// Whether every name of `other` is one of its names.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) | (Self::Exact(_), Self::Below(_)) => false,
            (Self::Exact(name), Self::Exact(other)) => name == other,
            (Self::Below(domain), Self::Exact(name)) => is_below(name, domain),
            (Self::Below(domain), Self::Below(other)) => domain == other || is_below(other, domain),
        }
    }

    /// The pattern of the names that both have.
    pub(crate) fn intersection(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }
}

/// Whether `name` has labels in front of `domain`.
fn is_below(name: &str, domain: &str) -> bool {
    let labels = name.strip_suffix(domain);
    labels.is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any name"),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intersect(a: &str, b: &str) -> Option<String> {
        let [a, b] = [a, b].map(|name| HostPattern::parse(Some(name)));
        let one = a.intersection(&b);
        assert_eq!(one, b.intersection(&a));
        one.map(|pattern| pattern.to_string())
    }

    #[test]
    fn intersections_are_those_of_the_specification() {
        for (listener, route, expected) in [
            (
                "test.example.com",
                "test.example.com",
                Some("test.example.com"),
            ),
            (
                "test.example.com",
                "*.example.com",
                Some("test.example.com"),
            ),
            (
                "*.example.com",
                "test.example.com",
                Some("test.example.com"),
            ),
            ("*.example.com", "*.example.com", Some("*.example.com")),
            (
                "*.example.com",
                "foo.test.example.com",
                Some("foo.test.example.com"),
            ),
            (
                "*.example.com",
                "*.test.example.com",
                Some("*.test.example.com"),
            ),
            ("*.example.com", "example.com", None),
            ("*.example.com", "test.example.net", None),
            ("*.example.com", "badexample.com", None),
            ("*.example.com", "*.com", Some("*.example.com")),
            ("example.com", "*.example.com", None),
            ("a.example.com", "b.example.com", None),
            ("", "*.example.com", Some("*.example.com")),
            ("", "", Some("any name")),
            ("EXAMPLE.com", "example.com", Some("example.com")),
        ] {
            assert_eq!(
                intersect(listener, route).as_deref(),
                expected,
                "{listener} {route}"
            );
        }
    }
}
