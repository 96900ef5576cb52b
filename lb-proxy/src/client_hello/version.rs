//! Versions of TLS.

use std::fmt;

/// A version of TLS as it is on the wire. Newer versions compare greater.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TlsVersion(u16);

impl TlsVersion {
    /// SSL 3.0.
    pub const SSL3: Self = Self(0x0300);
    /// TLS 1.0.
    pub const TLS1: Self = Self(0x0301);
    /// TLS 1.1.
    pub const TLS1_1: Self = Self(0x0302);
    /// TLS 1.2.
    pub const TLS1_2: Self = Self(0x0303);
    /// TLS 1.3.
    pub const TLS1_3: Self = Self(0x0304);

    /// The version with the wire number `number`.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Whether it is one of the versions above.
    pub const fn is_known(self) -> bool {
        self.0 >= Self::SSL3.0 && self.0 <= Self::TLS1_3.0
    }

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Displays nginx's name of the version (`TLSv1.3`), or the number if it has none.
impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SSL3 => f.write_str("SSLv3"),
            Self::TLS1 => f.write_str("TLSv1"),
            Self::TLS1_1 => f.write_str("TLSv1.1"),
            Self::TLS1_2 => f.write_str("TLSv1.2"),
            Self::TLS1_3 => f.write_str("TLSv1.3"),
            Self(number) => write!(f, "{number:#06x}"),
        }
    }
}
