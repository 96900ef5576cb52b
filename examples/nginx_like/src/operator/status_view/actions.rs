//! Requests of operators that changed something, the newest first.

use lb_proxy::admin::status::ActionReport;

use crate::operator::table::{Align, Table};
use crate::operator::units::{duration, plural};

/// How many actions are shown. `--json` has all that the server keeps.
const SHOWN: usize = 8;

/// The newest actions of `actions`, which are in the order of their time.
pub(super) fn table<'a>(
    actions: impl DoubleEndedIterator<Item = &'a ActionReport>,
    now_ms: u64,
) -> Table {
    let mut table = Table::new(&[
        ("AGE", Align::Right),
        ("ACTION", Align::Left),
        ("TARGET", Align::Left),
        ("RESULT", Align::Left),
        ("BY", Align::Left),
    ])
    .indented(2);
    for action in actions.rev().take(SHOWN) {
        let value = action.value.iter().map(|value| format!(" {value}"));
        table.row([
            duration(now_ms.saturating_sub(action.time_ms)),
            action.action.replace('_', "-") + &value.collect::<String>(),
            target(action),
            result(action),
            action.by.clone(),
        ]);
    }
    table
}

/// The session, the backend and the upstream, those that the request named.
fn target(action: &ActionReport) -> String {
    let session = action.session.map(|id| format!("session {id}"));
    let named = [session, action.backend.clone(), action.upstream.clone()];
    named.into_iter().flatten().collect::<Vec<_>>().join(" of ")
}

fn result(action: &ActionReport) -> String {
    match (action.closed, action.changed) {
        (Some(closed), _) => {
            let part = |count: Option<u64>, what: &str| match count {
                None | Some(0) => String::new(),
                Some(count) => format!(", {count} {what}"),
            };
            let reset = part(action.reset, "at once");
            let closing = part(action.closing, "closing");
            format!("{closed} closed{reset}{closing}")
        }
        (None, None) => "set".to_owned(),
        (None, Some(0)) => "set already".to_owned(),
        (None, Some(changed)) => {
            let changed = usize::try_from(changed).unwrap_or(usize::MAX);
            format!("set in {}", plural(changed, "upstream"))
        }
    }
}
