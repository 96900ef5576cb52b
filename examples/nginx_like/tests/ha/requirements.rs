//! What the laboratory needs of the machine.

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
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let absent = |program: &str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output();
        !found.is_ok_and(|found| found.status.success())
    };
    let (program, package) = PROGRAMS.iter().find(|(program, _)| absent(program))?;
    Some(format!("no {program}: apt-get install {package}"))
}
