//! Host names of listeners and routes, and how they intersect.

use std::fmt;

/// The longest host name, in bytes.
const MAX_NAME: usize = 253;

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
    /// The pattern of a host name. `None` for a text that is none: an API server refuses it, unless its definitions were changed.
    pub(crate) fn parse(hostname: &str) -> Option<Self> {
        let hostname = hostname.to_ascii_lowercase();
        let (name, is_wildcard) = match hostname.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (&*hostname, false),
        };
        let is_valid = name.len() <= MAX_NAME && name.split('.').all(is_label);
        is_valid.then(|| match is_wildcard {
            true => Self::Below(name.into()),
            false => Self::Exact(name.into()),
        })
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

    /// The other patterns that cover this one, the most specific one first: as many as the name has labels.
    pub(crate) fn wider(&self) -> impl Iterator<Item = Self> {
        let (name, is_any) = match self {
            Self::Any => ("", true),
            Self::Below(name) | Self::Exact(name) => (&**name, false),
        };
        let domains = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        let domains = domains.map(|domain| Self::Below(domain.into()));
        domains.chain((!is_any).then_some(Self::Any))
    }
}

fn is_label(label: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty() && label.bytes().all(is_allowed)
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
        let [a, b] = [a, b].map(|name| match name {
            "" => HostPattern::Any,
            name => HostPattern::parse(name).unwrap(),
        });
        let one = a.intersection(&b);
        assert_eq!(one, b.intersection(&a));
        one.map(|pattern| pattern.to_string())
    }

    #[test]
    fn what_is_no_host_name_is_no_pattern() {
        let long = "a.".repeat(127) + "a";
        for text in [
            "",
            ".",
            "*",
            "*.",
            ".a",
            "a.",
            "a..b",
            "a.*",
            "*a.b",
            "a.*.b",
            "*.*.a",
            "a b",
            "a/b",
            "a\0",
            "\u{e9}.test",
            &long,
        ] {
            assert_eq!(HostPattern::parse(text), None, "{text:?}");
        }
        for text in ["a", "A-1.b", "*.a", "10.0.0.1", &long[2..]] {
            assert!(HostPattern::parse(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn the_wider_patterns_are_those_that_cover_it() {
        let wider = |pattern: HostPattern| {
            let wider: Vec<_> = pattern.wider().collect();
            assert!(wider.iter().all(|one| one.covers(&pattern)), "{pattern}");
            wider
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let parse = |text: &str| HostPattern::parse(text).unwrap();
        assert_eq!(wider(parse("www.a.test")), "*.a.test *.test any name");
        assert_eq!(wider(parse("*.a.test")), "*.test any name");
        assert_eq!(wider(parse("test")), "any name");
        assert_eq!(wider(HostPattern::Any), "");
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
