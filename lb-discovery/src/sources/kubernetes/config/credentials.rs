//! Credentials of requests.

use std::fmt;

use http::HeaderValue;
use tokio::time::Instant;

/// Credentials in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// `Authorization`.
    pub(crate) header: Option<HeaderValue>,
    /// A client certificate and its key, as PEM.
    pub(crate) identity: Option<ClientCertificate>,
    /// When to renew them. `None` if they are used until the server refuses them.
    pub(crate) until: Option<Instant>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ClientCertificate {
    pub(crate) certificate: String,
    pub(crate) key: Secret,
}

/// A text that `Debug` does not show.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

pub(crate) fn bearer(token: &str) -> Result<HeaderValue, String> {
    secret(&format!("Bearer {token}"))
}

pub(crate) fn secret(header: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(header)
        .map_err(|_| "the token has characters that no HTTP header may have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
