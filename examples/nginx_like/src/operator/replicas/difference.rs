//! A difference of two replicas.

use std::fmt;

/// The first difference of two replicas, `A` and `B`. Its text is not escaped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::operator) enum Difference {
    /// Only one has the upstream.
    Upstream {
        upstream: String,
        only: &'static str,
    },
    /// A property of the upstream.
    Property {
        upstream: String,
        property: &'static str,
        a: String,
        b: String,
    },
    /// Only one has the backend.
    Backend {
        upstream: String,
        backend: String,
        only: &'static str,
    },
    /// A setting of the backend.
    Setting {
        upstream: String,
        backend: String,
        setting: &'static str,
        a: String,
        b: String,
    },
    /// The digests differ because one has the backends in another order.
    Order { upstream: String, priority: u8 },
    /// The digests differ, and all of the above is equal.
    Digest {
        upstream: String,
        priority: u8,
        a: String,
        b: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream { upstream, only } => {
                write!(f, "only {only} has the upstream {upstream}")
            }
            Self::Property {
                upstream,
                property,
                a,
                b,
            } => write!(
                f,
                "upstream {upstream}: {property} is {a} on A and {b} on B"
            ),
            Self::Backend {
                upstream,
                backend,
                only,
            } => write!(
                f,
                "upstream {upstream}: only {only} has the backend {backend}"
            ),
            Self::Setting {
                upstream,
                backend,
                setting,
                a,
                b,
            } => write!(
                f,
                "upstream {upstream}, backend {backend}: {setting} is {a} on A and {b} on B"
            ),
            Self::Order { upstream, priority } => write!(
                f,
                "upstream {upstream}, priority {priority}: the order of the backends differs, and the policy depends on it"
            ),
            Self::Digest {
                upstream,
                priority,
                a,
                b,
            } => write!(
                f,
                "upstream {upstream}, priority {priority}: the digest is {a} on A and {b} on B"
            ),
        }
    }
}
