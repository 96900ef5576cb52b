//! Variables of nginx's upstream module. They are known at the end of a session.

use super::Builtin;
use super::Source::End;

pub(super) const VARIABLES: &[Builtin] = &[
    Builtin::new("upstream_addr", End, |_, _| None),
    Builtin::new("upstream_bytes_received", End, |_, _| None),
    Builtin::new("upstream_bytes_sent", End, |_, _| None),
    Builtin::new("upstream_connect_time", End, |_, _| None),
    Builtin::new("upstream_first_byte_time", End, |_, _| None),
    Builtin::new("upstream_last_server_name", End, |_, _| None),
    Builtin::new("upstream_session_time", End, |_, _| None),
];
