//! Variables that nginx does not have: how lb-proxy names the end of a session.

use super::Builtin;
use super::Source::End;
use crate::variables::output::{bytes, display};

pub(super) const VARIABLES: &[Builtin] = &[
    Builtin::new("lb_backend_source", End, |context, out| {
        bytes(context.summary?.backend_source()?, out)
    }),
    Builtin::new("lb_reason", End, |context, out| {
        bytes(context.summary?.reason.as_str(), out)
    }),
    Builtin::new("lb_termination", End, |context, out| {
        display(context.summary?.termination(), out)
    })
    .of_course(),
];
