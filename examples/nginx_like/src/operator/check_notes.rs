//! What health checks say of a backend, for the last column of tables.

use lb_proxy::admin::status::CheckStateReport;

/// A note of each check that has not found the backend healthy.
pub(super) fn check_notes(checks: &[CheckStateReport]) -> impl Iterator<Item = String> {
    let failing = checks.iter().filter(|check| check.state != "up");
    failing.map(|check| {
        let text = match check.text.is_empty() {
            true => String::new(),
            false => format!(": {}", check.text),
        };
        format!("check {} {}{text}", check.check, check.state)
    })
}
