//! Outputs that values are written to.

use std::net::{IpAddr, SocketAddr};

use lb_core::Endpoint;
use lb_proxy::balancing::HashKey;

/// Takes the bytes of a value, part by part.
pub(crate) trait ValueOutput {
    fn push(&mut self, bytes: &[u8]);
}

impl ValueOutput for Vec<u8> {
    fn push(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl ValueOutput for HashKey {
    fn push(&mut self, bytes: &[u8]) {
        Self::push(self, bytes);
    }
}

/// Writes formatted text to a [`ValueOutput`].
pub(crate) struct Text<'a>(pub(crate) &'a mut dyn ValueOutput);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.push(text.as_bytes());
        Ok(())
    }
}

/// Writes what `shown` displays. Always `Some`, as the result of a variable's function.
pub(crate) fn display(shown: impl std::fmt::Display, out: &mut dyn ValueOutput) -> Option<()> {
    use std::fmt::Write;
    // An output takes everything.
    let _ = write!(Text(out), "{shown}");
    Some(())
}

/// Writes a number in decimal digits. Always `Some`.
pub(crate) fn number(number: impl itoa::Integer, out: &mut dyn ValueOutput) -> Option<()> {
    out.push(itoa::Buffer::new().format(number).as_bytes());
    Some(())
}

/// Writes an IP address. Always `Some`.
pub(crate) fn ip(addr: IpAddr, out: &mut dyn ValueOutput) -> Option<()> {
    let IpAddr::V4(addr) = addr else {
        return display(addr, out);
    };
    let [first, rest @ ..] = addr.octets();
    number(first, out)?;
    for octet in rest {
        out.push(b".");
        number(octet, out)?;
    }
    Some(())
}

/// Writes an address and its port, or the path of a unix domain socket. Always `Some`.
pub(crate) fn endpoint(endpoint: Endpoint, out: &mut dyn ValueOutput) -> Option<()> {
    let Endpoint::Tcp(SocketAddr::V4(addr)) = endpoint else {
        return display(endpoint, out);
    };
    ip((*addr.ip()).into(), out)?;
    out.push(b":");
    number(addr.port(), out)
}

/// Writes `bytes`. Always `Some`.
pub(crate) fn bytes(bytes: impl AsRef<[u8]>, out: &mut dyn ValueOutput) -> Option<()> {
    out.push(bytes.as_ref());
    Some(())
}
