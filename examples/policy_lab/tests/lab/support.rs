//! Shared by the tests of scenario files.

use policy_lab::Scenario;

/// The error of `text` with `from` replaced by `to`.
pub(crate) fn error(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    Scenario::parse("lab.toml", &text.replacen(from, to, 1))
        .expect_err("the edit is wrong on purpose")
        .to_string()
}
