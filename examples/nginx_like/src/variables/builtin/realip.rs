//! Variables of nginx's realip module.

use super::Builtin;
use super::Source::Connection;
use super::core::port;
use crate::variables::output::display;

pub(super) const VARIABLES: &[Builtin] = &[
    Builtin::new("realip_remote_addr", Connection, |context, out| {
        display(context.connection.peer.ip(), out)
    }),
    Builtin::new("realip_remote_port", Connection, |context, out| {
        port(context.connection.peer.port(), out)
    }),
];
