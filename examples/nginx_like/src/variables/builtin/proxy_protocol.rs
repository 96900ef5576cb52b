//! Variables of the PROXY protocol header that a connection began with, whether or not its sender is trusted.

use lb_proxy::proxy_protocol::{Addresses, Tlv};

use super::Builtin;
use super::Source::FirstBytes;
use super::core::port;
use crate::variables::context::Context;
use crate::variables::output::{ValueOutput, bytes, display};

pub(super) const VARIABLES: &[Builtin] = &[
    Builtin::new("proxy_protocol_addr", FirstBytes, |context, out| {
        display(addresses(context)?.source.ip(), out)
    }),
    Builtin::new("proxy_protocol_port", FirstBytes, |context, out| {
        port(addresses(context)?.source.port(), out)
    }),
    Builtin::new("proxy_protocol_server_addr", FirstBytes, |context, out| {
        display(addresses(context)?.destination.ip(), out)
    }),
    Builtin::new("proxy_protocol_server_port", FirstBytes, |context, out| {
        port(addresses(context)?.destination.port(), out)
    }),
    Builtin::beginning("proxy_protocol_tlv_", FirstBytes, tlv),
];

fn addresses(context: &Context<'_>) -> Option<Addresses> {
    context.connection.unverified_proxy_header()?.addresses
}

/// The value of a TLV. `None` for a name that nginx does not have either, as there.
fn tlv(context: &Context<'_>, name: &str, out: &mut dyn ValueOutput) -> Option<()> {
    let header = context.connection.unverified_proxy_header()?;
    let kind = match name {
        "alpn" => Tlv::ALPN,
        "authority" => Tlv::AUTHORITY,
        "unique_id" => Tlv::UNIQUE_ID,
        "ssl" => Tlv::SSL,
        "netns" => Tlv::NETNS,
        name => match name.strip_prefix("ssl_") {
            Some(name) => return ssl_tlv(context, name, out),
            None => hexadecimal(name)?,
        },
    };
    bytes(header.tlv(kind)?, out)
}

/// The value of a TLV inside the one of TLS.
fn ssl_tlv(context: &Context<'_>, name: &str, out: &mut dyn ValueOutput) -> Option<()> {
    let header = context.connection.unverified_proxy_header()?;
    let ssl = header.ssl()?;
    let kind = match name {
        "verify" => return display(ssl.verify(), out),
        "version" => Tlv::SSL_VERSION,
        "cn" => Tlv::SSL_CN,
        "cipher" => Tlv::SSL_CIPHER,
        "sig_alg" => Tlv::SSL_SIG_ALG,
        "key_alg" => Tlv::SSL_KEY_ALG,
        name => hexadecimal(name)?,
    };
    let found = ssl.tlvs().find(|tlv| tlv.kind == kind)?;
    bytes(found.value, out)
}

/// `0x` and hexadecimal digits.
fn hexadecimal(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("0x")?;
    u8::from_str_radix(digits, 16).ok()
}
