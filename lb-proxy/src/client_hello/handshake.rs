//! Parses the ClientHello handshake message.

use super::extensions::Extensions;
use super::reader::{Malformed, MessageReader};
use super::records::MESSAGE_HEADER;
use super::version::TlsVersion;

/// Parses the whole handshake message, including its header.
pub(super) fn parse(message: &[u8]) -> Result<(TlsVersion, Extensions), Malformed> {
    let mut hello = MessageReader::new(message);
    hello.take(MESSAGE_HEADER, "the message's header is cut off")?;
    let legacy_version = TlsVersion::new(hello.u16("the version is cut off")?);
    hello.take(32, "the random is cut off")?;
    let session = hello.vector8("the session ID is cut off")?;
    session.check(
        session.len() <= 32,
        "the session ID is longer than 32 bytes",
    )?;
    let ciphers = hello.vector16("the cipher suites are cut off")?;
    let even = !ciphers.is_empty() && ciphers.len().is_multiple_of(2);
    ciphers.check(even, "the list of cipher suites is empty or of odd length")?;
    let compressions = hello.vector8("the compression methods are cut off")?;
    compressions.check(!compressions.is_empty(), "there is no compression method")?;
    let mut extensions = Extensions::default();
    // Clients of TLS 1.2 and before may send no extensions.
    if !hello.is_empty() {
        let list = hello.vector16("the extensions are cut off")?;
        hello.check(hello.is_empty(), "bytes follow the extensions")?;
        extensions.parse(list)?;
    }
    Ok((legacy_version, extensions))
}
