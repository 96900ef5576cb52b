//! Backends from text and addresses.

use std::convert::Infallible;
use std::net::{AddrParseError, SocketAddr};
use std::path::Path;
use std::str::FromStr;

use crate::backend::Backend;
use crate::endpoint::Endpoint;
use crate::escaped::Escaped;

/// A text that names no backend.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "\"{}\" is no backend: write IP:PORT, [IPv6]:PORT or unix:PATH",
    Escaped(text)
)]
pub struct BackendParseError {
    text: Box<str>,
    source: Option<AddrParseError>,
}

/// A backend at `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`, everything else at its default. Host names are looked up by a source
/// such as lb-discovery's `Dns`, not here.
///
/// ```
/// use lb_core::Backend;
///
/// let backend: Backend = "10.0.0.1:446".parse()?;
/// assert_eq!(backend, Backend::new("10.0.0.1:446".parse()?));
/// let socket: Backend = "unix:/run/echo.sock".parse()?;
/// assert_eq!(socket.endpoint().to_string(), "unix:/run/echo.sock");
/// let error = "node1:446".parse::<Backend>().unwrap_err();
/// assert!(error.to_string().starts_with("\"node1:446\" is no backend"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl FromStr for Backend {
    type Err = BackendParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |source| BackendParseError {
            text: text.into(),
            source,
        };
        match text.strip_prefix("unix:") {
            Some("") => Err(error(None)),
            Some(path) => Ok(Self::unix(Path::new(path))),
            None => {
                let addr: Result<SocketAddr, _> = text.parse();
                addr.map(Self::new).map_err(|source| error(Some(source)))
            }
        }
    }
}

impl TryFrom<&str> for Backend {
    type Error = BackendParseError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for Backend {
    type Error = BackendParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SocketAddr> for Backend {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr)
    }
}

impl From<Endpoint> for Backend {
    fn from(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Tcp(addr) => Self::new(addr),
            Endpoint::Unix(path) => Self::unix(path),
        }
    }
}

/// A conversion that cannot fail fails with no error.
impl From<Infallible> for BackendParseError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_name_no_backend_are_errors_with_the_text() {
        for text in [
            "",
            "10.0.0.1",
            "node1:446",
            "unix:",
            "10.0.0.1:66000",
            "a\nb",
        ] {
            let error = text.parse::<Backend>().unwrap_err().to_string();
            let shown = format!("\"{}\" is no backend", Escaped(text));
            assert!(error.starts_with(&shown), "{error}");
        }
        for text in ["10.0.0.1:446", "[::1]:446", "unix:/run/echo.sock"] {
            let backend = Backend::try_from(text.to_owned()).unwrap();
            assert_eq!(backend.endpoint().to_string(), text);
            assert_eq!(Backend::from(backend.endpoint()), backend);
        }
    }
}
