//! Variables of nginx's ssl_preread module.

use super::Builtin;
use super::Source::FirstBytes;
use crate::variables::output::{bytes, display};

pub(super) const VARIABLES: &[Builtin] = &[
    Builtin::new("ssl_preread_alpn_protocols", FirstBytes, |context, out| {
        context.connection.tls_version()?;
        for (i, name) in context.connection.alpn().enumerate() {
            if i > 0 {
                out.push(b",");
            }
            out.push(name);
        }
        Some(())
    }),
    Builtin::new("ssl_preread_protocol", FirstBytes, |context, out| {
        let version = context.connection.tls_version()?;
        // nginx writes nothing for a version without a name.
        match version.is_known() {
            true => display(version, out),
            false => Some(()),
        }
    }),
    Builtin::new("ssl_preread_server_name", FirstBytes, |context, out| {
        context.connection.tls_version()?;
        bytes(
            context.connection.server_name_bytes().unwrap_or_default(),
            out,
        )
    }),
];
