//! Parses the header at the beginning of a stream.

use super::error::HeaderError;
use super::header::ProxyHeader;
use super::prefix::Unparsed;
use super::{v1, v2};
use crate::parse_status::ParseStatus;

/// The default limit on the length of a version 2 header: 4096 bytes, nginx's `NGX_PROXY_PROTOCOL_MAX_HEADER`.
///
/// Senders should stay below 536 bytes, which fit into any first segment.
pub const DEFAULT_LIMIT: usize = 4096;

impl<'a> ProxyHeader<'a> {
    /// Parses the header at the beginning of a stream. `stream` is all that has arrived so far.
    ///
    /// A version 2 header of more than `limit` bytes in total (at most 65551 are possible) is refused as soon as its
    /// length is known. A version 1 line has at most 107 bytes. Allocates nothing.
    ///
    /// # Errors
    ///
    /// As soon as no continuation can turn the bytes into a header. In a version 1 line that is the first byte that its
    /// field does not allow, or the end of an invalid field. In version 2 it is the first wrong byte of the fixed part;
    /// the rest is checked once all of it has arrived.
    pub fn parse(stream: &'a [u8], limit: usize) -> Result<ParseStatus<Self>, HeaderError> {
        let parsed = match stream.first() {
            None => return Ok(ParseStatus::Incomplete { at_least: 1 }),
            Some(b'P') => v1::parse(stream),
            Some(_) => v2::parse(stream, limit),
        };
        match parsed {
            Ok(header) => Ok(ParseStatus::Complete(header)),
            Err(Unparsed::Incomplete(at_least)) => Ok(ParseStatus::Incomplete { at_least }),
            Err(Unparsed::Invalid(error)) => Err(error),
        }
    }
}
