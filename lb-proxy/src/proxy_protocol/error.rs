//! What can be wrong with a header.

/// Bytes that are not a PROXY protocol header, and never will be. The connection should be reset.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("PROXY protocol header, byte {offset}: {kind}")]
pub struct HeaderError {
    /// Where the field or byte that is wrong begins, from the beginning of the header.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: HeaderErrorKind,
}

impl HeaderError {
    pub(super) fn new(offset: usize, kind: HeaderErrorKind) -> Self {
        Self { offset, kind }
    }
}

/// What is wrong with a header.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderErrorKind {
    /// Version 1: no address of the family that the line announces, in the form that the specification asks for.
    #[error("not an address of the announced family")]
    Address,
    /// Version 2: the length leaves no room for the addresses of the family.
    #[error("the announced length is too small for the addresses")]
    AddressesCutOff,
    /// Version 2: the CRC32C is wrong, or there is a second one.
    #[error("the CRC32C checksum does not match")]
    Checksum,
    /// Version 2: neither `LOCAL` nor `PROXY`.
    #[error("unknown command")]
    Command,
    /// Version 2: an address family that is not assigned.
    #[error("unknown address family")]
    Family,
    /// Version 1: a CR without LF or a LF without CR.
    #[error("the line must end with CR and LF")]
    LineEnd,
    /// Version 1: no end of the line within 107 bytes.
    #[error("the line is longer than 107 bytes")]
    LineTooLong,
    /// The bytes begin neither version. The sender does not speak the protocol.
    #[error("not the beginning of a header: the sender does not speak the PROXY protocol")]
    NotAHeader,
    /// Version 1: no port from 0 to 65535 without leading zeros.
    #[error("not a port")]
    Port,
    /// Version 1: neither `TCP4`, `TCP6` nor `UNKNOWN`.
    #[error("the protocol is neither TCP4, TCP6 nor UNKNOWN")]
    Protocol,
    /// Version 2: an SSL TLV without its fixed part.
    #[error("the SSL TLV is too short")]
    Ssl,
    /// Version 2: a TLV that ends behind the header, or behind the SSL TLV that contains it.
    #[error("a TLV does not end where what contains it does")]
    TlvCutOff,
    /// Version 2: longer than what is allowed here, or than the format can say.
    #[error("a header of {len} bytes is longer than the limit of {limit}")]
    TooLong {
        /// The announced length, all included.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Version 2: a transport that is not assigned.
    #[error("unknown transport protocol")]
    Transport,
    /// Version 2: a unique ID of more than 128 bytes.
    #[error("the unique ID is longer than 128 bytes")]
    UniqueId,
    /// The signature of version 2 with another version.
    #[error("unknown version of the protocol")]
    Version,
}
