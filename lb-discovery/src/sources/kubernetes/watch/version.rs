//! Versions of objects, and their order.

use std::fmt;

/// A `resourceVersion`: in Kubernetes a decimal number that grows with every change of any object (KEP-5504).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Version(Box<str>);

impl Version {
    /// Returns `None` for a missing or empty version.
    pub(crate) fn new(text: Option<String>) -> Option<Self> {
        let text = text.filter(|text| !text.is_empty())?;
        Some(Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this version is older than `other`. False if one of them is not a number: then their order is unknown.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        self.digits()
            .zip(other.digits())
            .is_some_and(|(own, other)| (own.len(), own) < (other.len(), other))
    }

    /// The digits without leading zeros, so that the longer number is the larger one.
    fn digits(&self) -> Option<&str> {
        let is_number = self.0.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| self.0.trim_start_matches('0'))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A server may send any text; the numbers of Kubernetes have at most 20 digits.
        write!(f, "{:.40}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_whatever_their_length() {
        let version = |text: &str| Version::new(Some(text.to_owned())).unwrap();
        for (earlier, later) in [
            ("0", "1"),
            ("9", "10"),
            ("007", "8"),
            ("99999999999999999999998", "99999999999999999999999"),
        ] {
            assert!(version(earlier).is_before(&version(later)));
            assert!(!version(later).is_before(&version(earlier)));
        }
        for (one, other) in [
            ("7", "7"),
            ("7", "07"),
            ("7", "x"),
            ("-1", "7"),
            ("1.5", "7"),
        ] {
            assert!(!version(one).is_before(&version(other)));
            assert!(!version(other).is_before(&version(one)));
        }
        let endless = version(&"9".repeat(1_000_000));
        assert_eq!(endless.to_string().len(), 40);
        assert_eq!(Version::new(None), None);
        assert_eq!(Version::new(Some(String::new())), None);
    }
}
