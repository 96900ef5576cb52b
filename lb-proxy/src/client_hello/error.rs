//! The errors of a ClientHello.

/// Why a stream has no ClientHello that can be parsed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientHelloError {
    /// The stream begins like a ClientHello and breaks the rules of one. No TLS server would answer it.
    #[error("malformed TLS ClientHello, byte {offset}: {what}")]
    Malformed {
        /// The offset in the stream.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The stream is another protocol, or TLS that does not begin with a ClientHello.
    ///
    /// The hello of SSL 2 counts as well: no server has accepted it since the 2010s.
    #[error("no TLS ClientHello: byte {offset} cannot be part of one")]
    NotTls {
        /// The offset of the first byte that cannot be part of a ClientHello.
        offset: usize,
    },
    /// The ClientHello is not complete within the limit.
    #[error("the TLS ClientHello is longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}
