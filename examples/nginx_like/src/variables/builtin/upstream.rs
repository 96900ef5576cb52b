//! Variables of nginx's upstream module. They are known at the end of a session.

use lb_proxy::events::AttemptReport;

use super::Builtin;
use super::Source::End;
use super::times::seconds;
use crate::variables::context::Context;
use crate::variables::ending;
use crate::variables::output::{ValueOutput, bytes, endpoint, number};

pub(super) const VARIABLES: &[Builtin] = &[
    Builtin::new("upstream_addr", End, |context, out| {
        let addr = |attempt: &AttemptReport, out: &mut dyn ValueOutput| {
            if !ending::is_own_failure(attempt) {
                endpoint(attempt.backend.endpoint(), out);
            }
        };
        let name = context.summary.and_then(|end| end.upstream);
        list(
            context,
            out,
            addr,
            name.map_or("", |upstream| upstream.name()),
        )
    }),
    Builtin::new("upstream_bytes_received", End, |context, out| {
        let count = |attempt: &AttemptReport, out: &mut dyn ValueOutput| {
            number(attempt.bytes_received, out);
        };
        list(context, out, count, "0")
    }),
    Builtin::new("upstream_bytes_sent", End, |context, out| {
        let count = |attempt: &AttemptReport, out: &mut dyn ValueOutput| {
            number(attempt.bytes_sent, out);
        };
        list(context, out, count, "0")
    }),
    Builtin::new("upstream_connect_time", End, |context, out| {
        let time = |attempt: &AttemptReport, out: &mut dyn ValueOutput| {
            time(attempt.connected_after, out);
        };
        list(context, out, time, "-")
    })
    .of_course(),
    Builtin::new("upstream_first_byte_time", End, |context, out| {
        let time = |attempt: &AttemptReport, out: &mut dyn ValueOutput| {
            time(attempt.first_byte_after, out);
        };
        list(context, out, time, "-")
    })
    .of_course(),
    // The name that TLS to a server used: there is no TLS to servers.
    Builtin::new("upstream_last_server_name", End, |_, _| None),
    Builtin::new("upstream_session_time", End, |context, out| {
        let time = |attempt: &AttemptReport, out: &mut dyn ValueOutput| {
            time(Some(attempt.elapsed), out);
        };
        list(context, out, time, "0.000")
    })
    .of_course(),
];

/// Writes a value for each attempt, and `missing` for an upstream without a server. `None` if there was neither.
fn list(
    context: &Context<'_>,
    out: &mut dyn ValueOutput,
    write: impl Fn(&AttemptReport, &mut dyn ValueOutput),
    missing: &str,
) -> Option<()> {
    let summary = context.summary?;
    let lacks_live = ending::lacks_live_upstreams(summary);
    if summary.attempts.is_empty() && !lacks_live {
        return None;
    }
    for (i, attempt) in summary.attempts.iter().enumerate() {
        if i > 0 {
            out.push(b", ");
        }
        write(attempt, out);
    }
    if lacks_live {
        if !summary.attempts.is_empty() {
            out.push(b", ");
        }
        bytes(missing, out);
    }
    Some(())
}

/// Seconds with three decimals, or `-`.
fn time(span: Option<std::time::Duration>, out: &mut dyn ValueOutput) {
    match span {
        Some(span) => seconds(span, out),
        None => bytes("-", out),
    };
}
