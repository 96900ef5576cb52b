//! Variables of nginx's stream core module.

use std::net::SocketAddr;
use std::process;

use lb_core::Endpoint;

use super::Builtin;
use super::Source::{Clock, Connection, End};
use super::times;
use crate::host_name::host_name;
use crate::local_time::{with_access_log_time, with_iso8601_time};
use crate::variables::ending;
use crate::variables::output::{bytes, display, ip, number};

/// The version of nginx whose language this is.
const NGINX_VERSION: &str = "1.31.5";

pub(super) const VARIABLES: &[Builtin] = &[
    Builtin::new(
        "binary_remote_addr",
        Connection,
        |context, out| match context.connection.client_endpoint() {
            Endpoint::Tcp(SocketAddr::V4(addr)) => bytes(addr.ip().octets(), out),
            Endpoint::Tcp(SocketAddr::V6(addr)) => bytes(addr.ip().octets(), out),
            unix => display(unix, out),
        },
    ),
    // Complete at the end of the session; until then nothing is counted.
    Builtin::new("bytes_received", End, |context, out| {
        number(context.summary.map_or(0, |end| end.bytes_from_client), out)
    }),
    Builtin::new("bytes_sent", End, |context, out| {
        number(context.summary.map_or(0, |end| end.bytes_to_client), out)
    }),
    Builtin::new("connection", Connection, |context, out| {
        number(context.number(), out)
    })
    .of_course(),
    Builtin::new("hostname", Connection, |_, out| {
        bytes(host_name().as_bytes(), out)
    }),
    Builtin::new("msec", Clock, |_, out| times::since_1970(out)),
    Builtin::new("nginx_version", Connection, |_, out| {
        bytes(NGINX_VERSION, out)
    }),
    Builtin::new("pid", Connection, |_, out| number(process::id(), out)),
    Builtin::new("protocol", Connection, |_, out| bytes("TCP", out)),
    Builtin::new("remote_addr", Connection, |context, out| {
        address(context.connection.client_endpoint(), out)
    }),
    Builtin::new("remote_port", Connection, |context, out| {
        port(context.connection.client.port(), out)
    }),
    Builtin::new("server_addr", Connection, |context, out| {
        address(context.connection.local_endpoint(), out)
    }),
    Builtin::new("server_port", Connection, |context, out| {
        port(context.connection.local.port(), out)
    }),
    Builtin::new("session_time", End, |context, out| {
        times::seconds(context.elapsed(), out)
    }),
    Builtin::new("status", End, |context, out| {
        let status = context.summary.map_or(0, ending::status);
        match status {
            100.. => number(status, out),
            _ => display(format_args!("{status:03}"), out),
        }
    }),
    Builtin::new("time_iso8601", Clock, |_, out| {
        with_iso8601_time(|time| bytes(time, out))
    }),
    Builtin::new("time_local", Clock, |_, out| {
        with_access_log_time(|time| bytes(time, out))
    }),
];

/// The IP address, or for a unix domain socket `unix:` and its path, which clients lack.
pub(super) fn address(
    endpoint: Endpoint,
    out: &mut dyn crate::variables::output::ValueOutput,
) -> Option<()> {
    match endpoint {
        Endpoint::Tcp(addr) => ip(addr.ip(), out),
        unix => display(unix, out),
    }
}

/// nginx writes nothing for port 0, which a header may have.
pub(super) fn port(port: u16, out: &mut dyn crate::variables::output::ValueOutput) -> Option<()> {
    match port {
        0 => Some(()),
        port => number(port, out),
    }
}
