//! The record layer: reassembles the first handshake message of a stream.

use std::borrow::Cow;

use super::error::ClientHelloError;
use crate::parse_status::ParseStatus;

/// The length of a message header: the type in one byte, the length in three.
pub(super) const MESSAGE_HEADER: usize = 4;

/// The length of a record header: content type, version, length.
const RECORD_HEADER: usize = 5;

/// The longest payload of a record, RFC 8446 section 5.1.
const MAX_RECORD: usize = 1 << 14;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// The ClientHello message, including its header, without the record headers.
pub(super) fn message(
    stream: &[u8],
    limit: usize,
) -> Result<ParseStatus<Cow<'_, [u8]>>, ClientHelloError> {
    let mut records = Records::new(stream);
    let mut header = [0; MESSAGE_HEADER];
    let mut have = 0;
    loop {
        let record = match records.next()? {
            ParseStatus::Complete(record) => record,
            ParseStatus::Incomplete { at_least } => {
                return Ok(ParseStatus::Incomplete { at_least });
            }
        };
        for (to, from) in header.iter_mut().skip(have).zip(record.payload) {
            *to = *from;
        }
        have += record.payload.len();
        if have > 0 && header[0] != CLIENT_HELLO {
            let offset = RECORD_HEADER;
            return Err(ClientHelloError::NotTls { offset });
        }
        let mut len = MESSAGE_HEADER;
        if have >= MESSAGE_HEADER {
            let [_, high, middle, low] = header.map(usize::from);
            len += (high << 16) | (middle << 8) | low;
            if RECORD_HEADER + len > limit {
                return Err(ClientHelloError::TooLong { limit });
            }
            if have >= len {
                return Ok(ParseStatus::Complete(reassemble(stream, len)));
            }
        }
        if record.missing > 0 {
            let at_least = record.missing.min(len - have);
            return Ok(ParseStatus::Incomplete { at_least });
        }
    }
}

/// The first `len` payload bytes of the records.
fn reassemble(stream: &[u8], len: usize) -> Cow<'_, [u8]> {
    let mut records = Records::new(stream);
    let mut message = Cow::from(&[]);
    while let Ok(ParseStatus::Complete(record)) = records.next() {
        let payload = &record.payload[..record.payload.len().min(len - message.len())];
        if message.is_empty() {
            message = Cow::Borrowed(payload);
        } else {
            message.to_mut().extend_from_slice(payload);
        }
        if message.len() == len {
            break;
        }
    }
    message
}

/// The offset in the stream of byte `offset` of a message of `len` bytes.
///
/// The end of the message maps to the offset behind its last byte, whatever follows in the stream.
pub(super) fn offset_in_stream(stream: &[u8], len: usize, offset: usize) -> usize {
    let byte = offset.min(len - 1);
    let mut records = Records::new(stream);
    let mut before = 0;
    while let Ok(ParseStatus::Complete(record)) = records.next() {
        let end = before + record.payload.len();
        if byte < end {
            return records.at - (end - offset);
        }
        before = end;
    }
    records.at
}

/// Iterates over handshake records.
struct Records<'a> {
    stream: &'a [u8],
    at: usize,
}

/// The payload of a record as far as it has arrived.
struct TlsRecord<'a> {
    payload: &'a [u8],
    /// How many bytes of the payload have not arrived.
    missing: usize,
}

impl<'a> Records<'a> {
    fn new(stream: &'a [u8]) -> Self {
        Self { stream, at: 0 }
    }

    /// The next record as far as it has arrived.
    fn next(&mut self) -> Result<ParseStatus<TlsRecord<'a>>, ClientHelloError> {
        let rest = &self.stream[self.at..];
        self.check(0, rest.first().is_none_or(|&byte| byte == HANDSHAKE))?;
        // The second byte of the version is not checked: clients of TLS 1.3 write 1.0 or 1.2 here.
        self.check(1, rest.get(1).is_none_or(|&byte| byte == 3))?;
        let Some((&[_, _, _, high, low], arrived)) = rest.split_first_chunk::<RECORD_HEADER>()
        else {
            let at_least = RECORD_HEADER + 1 - rest.len();
            return Ok(ParseStatus::Incomplete { at_least });
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        self.check(3, (1..=MAX_RECORD).contains(&len))?;
        let payload = &arrived[..arrived.len().min(len)];
        self.at += RECORD_HEADER + payload.len();
        Ok(ParseStatus::Complete(TlsRecord {
            payload,
            missing: len - payload.len(),
        }))
    }

    /// Returns an error at `byte` of the record header unless `rule` holds.
    fn check(&self, byte: usize, rule: bool) -> Result<(), ClientHelloError> {
        let offset = self.at + byte;
        match rule {
            true => Ok(()),
            false if self.at == 0 => Err(ClientHelloError::NotTls { offset }),
            false => Err(ClientHelloError::Malformed {
                offset,
                what: "not a handshake record, although the message has not ended",
            }),
        }
    }
}
