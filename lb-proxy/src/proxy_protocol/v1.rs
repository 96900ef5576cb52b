//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::{HeaderError, HeaderErrorKind};
use super::header::{Addresses, Command, ProxyHeader, Version};
use super::prefix::{Unparsed, expect};
use super::tlv::Tlvs;

/// The length of the longest line in bytes, including CR and LF.
pub(crate) const MAX_LINE: usize = 107;

/// The length of the longest IPv4 address.
const MAX_V4: usize = 15;

/// The length of the longest IPv6 address, which ends in dotted IPv4 form.
const MAX_V6: usize = 45;

pub(super) fn parse(stream: &[u8]) -> Result<ProxyHeader<'static>, Unparsed> {
    let line = &stream[..stream.len().min(MAX_LINE)];
    match parse_line(line) {
        Err(Unparsed::Incomplete(_)) if line.len() == MAX_LINE => {
            Err(HeaderError::new(MAX_LINE, HeaderErrorKind::LineTooLong).into())
        }
        parsed => parsed,
    }
}

fn parse_line(stream: &[u8]) -> Result<ProxyHeader<'static>, Unparsed> {
    let mut line = LineParser { stream, at: 0 };
    line.literal(b"PROXY ", HeaderErrorKind::NotAHeader)?;
    let addresses = match line.peek()? {
        b'U' => {
            line.literal(b"UNKNOWN", HeaderErrorKind::Protocol)?;
            line.skip_rest()?;
            None
        }
        _ => Some(line.addresses()?),
    };
    Ok(ProxyHeader {
        version: Version::V1,
        command: Command::Proxy,
        addresses,
        len: line.at,
        tlvs: Tlvs::default(),
    })
}

/// Parses a line from left to right.
struct LineParser<'a> {
    stream: &'a [u8],
    at: usize,
}

impl LineParser<'_> {
    /// Parses the part behind "PROXY " of a line with addresses.
    fn addresses(&mut self) -> Result<Addresses, Unparsed> {
        self.literal(b"TCP", HeaderErrorKind::Protocol)?;
        let v6 = match self.peek()? {
            b'4' => false,
            b'6' => true,
            _ => return Err(self.error(HeaderErrorKind::Protocol)),
        };
        self.at += 1;
        self.literal(b" ", HeaderErrorKind::Protocol)?;
        let source = self.address(v6)?;
        let destination = self.address(v6)?;
        let source_port = self.port(b' ')?;
        let destination_port = self.port(b'\r')?;
        self.literal(b"\n", HeaderErrorKind::LineEnd)?;
        Ok(Addresses::new(
            SocketAddr::new(source, source_port),
            SocketAddr::new(destination, destination_port),
        ))
    }

    fn address(&mut self, v6: bool) -> Result<IpAddr, Unparsed> {
        let error = HeaderErrorKind::Address;
        if v6 {
            let allowed = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            self.field(b' ', MAX_V6, allowed, error, |text| {
                text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
            })
        } else {
            let allowed = |byte: u8| byte.is_ascii_digit() || byte == b'.';
            self.field(b' ', MAX_V4, allowed, error, |text| {
                text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
            })
        }
    }

    fn port(&mut self, end: u8) -> Result<u16, Unparsed> {
        let allowed = |byte: u8| byte.is_ascii_digit();
        self.field(end, 5, allowed, HeaderErrorKind::Port, |text| {
            let leading_zero = text.len() > 1 && text.starts_with('0');
            text.parse().ok().filter(|_| !leading_zero)
        })
    }

    /// Parses a field of at most `max` bytes and the byte that ends it.
    fn field<T>(
        &mut self,
        end: u8,
        max: usize,
        allowed: impl Fn(u8) -> bool,
        error: HeaderErrorKind,
        convert: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Unparsed> {
        let rest = &self.stream[self.at..];
        let len = rest.iter().position(|&byte| !allowed(byte));
        if len.unwrap_or(rest.len()) > max {
            return Err(HeaderError::new(self.at + max, error).into());
        }
        let Some(len) = len else {
            return Err(Unparsed::Incomplete(1));
        };
        if rest[len] != end {
            return Err(HeaderError::new(self.at + len, error).into());
        }
        let text = str::from_utf8(&rest[..len]).ok();
        let value = text.and_then(convert).ok_or_else(|| self.error(error))?;
        self.at += len + 1;
        Ok(value)
    }

    /// Skips what the sender wrote behind "UNKNOWN".
    fn skip_rest(&mut self) -> Result<(), Unparsed> {
        if !matches!(self.peek()?, b' ' | b'\r') {
            return Err(self.error(HeaderErrorKind::Protocol));
        }
        let mut rest = self.stream[self.at..].iter();
        let end = rest.position(|byte| matches!(byte, b'\r' | b'\n'));
        let Some(len) = end else {
            return Err(Unparsed::Incomplete(2));
        };
        self.at += len;
        self.literal(b"\r\n", HeaderErrorKind::LineEnd)
    }

    fn literal(&mut self, bytes: &[u8], error: HeaderErrorKind) -> Result<(), Unparsed> {
        expect(self.stream, self.at, bytes, error)?;
        self.at += bytes.len();
        Ok(())
    }

    fn peek(&self) -> Result<u8, Unparsed> {
        let byte = self.stream.get(self.at);
        byte.copied().ok_or(Unparsed::Incomplete(1))
    }

    fn error(&self, kind: HeaderErrorKind) -> Unparsed {
        HeaderError::new(self.at, kind).into()
    }
}
