//! Variables of nginx's limit_conn module.

use lb_proxy::events::{CloseReason, RefusalDetail};

use super::Builtin;
use super::Source::End;
use crate::variables::output::bytes;
use crate::variables::session::SessionState;

pub(super) const VARIABLES: &[Builtin] =
    &[Builtin::new("limit_conn_status", End, |context, out| {
        let summary = context.summary?;
        let state = context.connection.data::<SessionState>()?;
        if !state.has_limits() {
            return None;
        }
        match (summary.reason, summary.refusal) {
            (CloseReason::ClientSessions | CloseReason::ClientZoneFull, _) => {
                bytes("REJECTED", out)
            }
            _ if summary.observed.is_some() => bytes("REJECTED_DRY_RUN", out),
            // The PROXY header is read before the limits are checked.
            (_, Some(RefusalDetail::Preread(refusal))) if refusal.names_client => None,
            _ => bytes("PASSED", out),
        }
    })];
