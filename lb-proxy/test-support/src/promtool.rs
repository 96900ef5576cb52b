//! Prometheus' promtool, for tests that run on request.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Asserts that `promtool check metrics` accepts `text` without a remark. promtool lies beside the program `prometheus`.
pub fn check_metrics(prometheus: &Path, text: &str) {
    let mut promtool = Command::new(prometheus.with_file_name("promtool"));
    let mut checking = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = checking.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let checked = checking.wait_with_output().unwrap();
    let remarks = String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success() && remarks.is_empty(),
        "{remarks}\n{text}"
    );
}
