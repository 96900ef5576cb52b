//! Errors of opening an admin listener.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use lb_core::Endpoint;

/// Why an admin listener cannot be opened.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is reachable from other machines, and no network is allowed.
    #[error(
        "the admin address {addr} is no loopback address: use one, or a unix socket, or allow the networks of its clients"
    )]
    NotLoopback {
        /// The address.
        addr: SocketAddr,
    },
    /// The address or path cannot be listened on.
    #[error("cannot listen on the admin address {endpoint}")]
    Listen {
        /// The address or path.
        endpoint: Endpoint,
        /// The cause.
        source: io::Error,
    },
    /// The token file cannot be read.
    #[error("cannot read the token file {}", path.display())]
    ReadToken {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The token file is a pipe, a device or a directory.
    #[error("the token file {} is no regular file: write the token to one", path.display())]
    NoTokenFile {
        /// The file.
        path: PathBuf,
    },
    /// Other users may read or change the token file.
    #[error(
        "the token file {} must be readable and writable by its owner and its group's readers only: chmod 600 or 640",
        path.display()
    )]
    OpenToken {
        /// The file.
        path: PathBuf,
    },
    /// The token is too short or has characters that no HTTP header may have.
    #[error(
        "the token must have 16 to 4096 printable ASCII characters without spaces, such as the output of \
         \"openssl rand -hex 32\""
    )]
    InvalidToken,
}
