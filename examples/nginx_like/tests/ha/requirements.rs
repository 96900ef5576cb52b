//! The laboratory's requirements of the machine.

use std::process::Command;
use std::sync::LazyLock;

use crate::output::show;

/// The programs, and Debian's packages that have them.
const PROGRAMS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("keepalived", "keepalived"),
    ("bird", "bird2"),
    ("inotifywait", "inotify-tools"),
];

/// Whether a test can run that needs namespaces and no engine. Prints what is missing.
pub(crate) fn has_namespaces() -> bool {
    let missing = without_root().or_else(|| without_program(PROGRAMS[0]));
    if let Some(missing) = &missing {
        show(&format!("a test of the laboratory is skipped: {missing}"));
    }
    missing.is_none()
}

/// Whether a test can run. Prints what is missing, once.
pub(crate) fn are_met() -> bool {
    static MISSING: LazyLock<Option<String>> = LazyLock::new(|| {
        let missing = missing()?;
        show(&format!("the laboratory is skipped: {missing}"));
        Some(missing)
    });
    MISSING.is_none()
}

fn missing() -> Option<String> {
    without_root().or_else(|| PROGRAMS.into_iter().find_map(without_program))
}

fn without_root() -> Option<String> {
    let is_root = rustix::process::geteuid().is_root();
    (!is_root).then(|| "network namespaces need root".to_owned())
}

fn without_program((program, package): (&str, &str)) -> Option<String> {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    let is_found = found.is_ok_and(|found| found.status.success());
    (!is_found).then(|| format!("no {program}: apt-get install {package}"))
}
