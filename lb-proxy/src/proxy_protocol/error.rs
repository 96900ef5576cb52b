//! The errors of a header.

/// Bytes that no continuation turns into a PROXY protocol header. The receiver should reset the connection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("PROXY protocol header, byte {offset}: {kind}")]
pub struct HeaderError {
    /// The offset of the wrong field or byte from the beginning of the header.
    pub offset: usize,
    /// What is wrong.
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
    /// Version 1: not an address of the announced family in the form that the specification prescribes.
    #[error("not an address of the announced family")]
    Address,
    /// Version 2: the length leaves no room for the addresses of the family.
    #[error("the announced length is too small for the addresses")]
    AddressesCutOff,
    /// Version 2: the CRC32C does not match, or the header has a second one.
    #[error("the CRC32C checksum does not match")]
    Checksum,
    /// Version 2: neither `LOCAL` nor `PROXY`.
    #[error("unknown command")]
    Command,
    /// Version 2: an address family that is not assigned.
    #[error("unknown address family")]
    Family,
    /// Version 1: a CR without LF, or an LF without CR.
    #[error("the line must end with CR and LF")]
    LineEnd,
    /// Version 1: no end of the line within 107 bytes.
    #[error("the line is longer than 107 bytes")]
    LineTooLong,
    /// The bytes begin no header of either version: the sender does not speak the protocol.
    #[error("not the beginning of a header: the sender does not speak the PROXY protocol")]
    NotAHeader,
    /// Version 1: not a port from 0 to 65535 without leading zeros.
    #[error("not a port")]
    Port,
    /// Version 1: not `TCP4`, `TCP6` or `UNKNOWN`.
    #[error("the protocol is not TCP4, TCP6 or UNKNOWN")]
    Protocol,
    /// Version 2: an SSL TLV without its fixed part.
    #[error("the SSL TLV is too short")]
    Ssl,
    /// Version 2: a TLV that ends behind the header, or behind the SSL TLV around it.
    #[error("a TLV ends behind the header or TLV that contains it")]
    TlvCutOff,
    /// Version 2: longer than the limit, or than the format can express.
    #[error("a header of {len} bytes is longer than the limit of {limit}")]
    TooLong {
        /// The length of the whole header in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Version 2: a transport that is not assigned.
    #[error("unknown transport protocol")]
    Transport,
    /// Version 2: a unique ID of more than 128 bytes.
    #[error("the unique ID is longer than 128 bytes")]
    UniqueId,
    /// The signature of version 2 followed by another version number.
    #[error("unknown version of the protocol")]
    Version,
}
