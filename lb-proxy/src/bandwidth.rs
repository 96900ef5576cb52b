//! The limits on the bytes a second of a session.

use std::num::NonZeroU64;

/// How many bytes a second a session relays at most in each direction.
///
/// In each direction a session reads at most rate * (seconds since the relay began + 1) bytes, counted in whole
/// seconds, as nginx does. Behind each read it pauses for the time that the bytes take at the rate. A read takes at most
/// 16 KiB, or the bytes of a sixty-fourth of a second if these are more. While a direction pauses, the session is not
/// idle. The last bytes of a session that is cut, or of a side that was reset, are not delayed; those that
/// [`HalfClose::End`](crate::settings::HalfClose::End) still delivers are.
///
/// A session with a limit allocates about 200 bytes for it; any other session pays one branch.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bandwidth {
    /// From the client to the backend, in bytes a second. Default: `None`, no limit.
    #[cfg_attr(feature = "serde", serde(with = "crate::byte_form::OptionalByteRate"))]
    pub upload: Option<NonZeroU64>,
    /// From the backend to the client, in bytes a second. Default: `None`, no limit.
    #[cfg_attr(feature = "serde", serde(with = "crate::byte_form::OptionalByteRate"))]
    pub download: Option<NonZeroU64>,
}

impl Bandwidth {
    /// No limit.
    pub const fn unlimited() -> Self {
        Self {
            upload: None,
            download: None,
        }
    }

    /// Sets [`upload`](field@Self::upload). 0 is no limit, as nginx's `proxy_upload_rate`.
    #[must_use]
    pub const fn upload(mut self, bytes: u64) -> Self {
        self.upload = NonZeroU64::new(bytes);
        self
    }

    /// Sets [`download`](field@Self::download). 0 is no limit, as nginx's `proxy_download_rate`.
    #[must_use]
    pub const fn download(mut self, bytes: u64) -> Self {
        self.download = NonZeroU64::new(bytes);
        self
    }

    /// Whether neither direction has a limit.
    pub const fn is_unlimited(&self) -> bool {
        self.upload.is_none() && self.download.is_none()
    }
}
