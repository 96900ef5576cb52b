//! Variables of nginx's limit_conn module.

use super::Builtin;
use super::Source::End;

pub(super) const VARIABLES: &[Builtin] = &[Builtin::new("limit_conn_status", End, |_, _| None)];
