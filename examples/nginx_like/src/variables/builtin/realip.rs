//! Variables of nginx's realip module.

use super::Builtin;
use super::Source::Connection;
use super::core::{address, port};

pub(super) const VARIABLES: &[Builtin] = &[
    Builtin::new("realip_remote_addr", Connection, |context, out| {
        address(context.connection.peer_endpoint(), out)
    }),
    Builtin::new("realip_remote_port", Connection, |context, out| {
        port(context.connection.peer.port(), out)
    }),
];
