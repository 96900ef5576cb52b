//! Notes of health checks about a backend, for the last column of tables.

use lb_proxy::admin::status::CheckStateReport;

/// A note of each check that has not found the backend healthy, and of each whose last probe had no result.
pub(super) fn check_notes(checks: &[CheckStateReport]) -> impl Iterator<Item = String> {
    checks.iter().flat_map(|check| {
        let failing = (check.state != "up").then(|| {
            let text = behind(&check.reason);
            format!("check {} {}{text}", check.check, check.state)
        });
        let has_no_result = check.outcome.as_deref() == Some("inconclusive");
        let silent = has_no_result.then(|| {
            let text = behind(&check.text);
            format!("check {} has no result{text}", check.check)
        });
        failing.into_iter().chain(silent)
    })
}

fn behind(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!(": {text}"),
    }
}
