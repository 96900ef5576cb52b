//! An admin server that cannot start.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::command_line::run;
use crate::proxy::write_conf;

#[test]
fn a_test_names_the_line_of_an_admin_server_that_cannot_start() {
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short");
    std::fs::write(&short, "abc").unwrap();
    std::fs::set_permissions(&short, Permissions::from_mode(0o600)).unwrap();
    let tested = |admin: &str| {
        let text = format!(
            "stream {{ server {{ listen 127.0.0.1:4461; return a; }}\nlb_admin {admin}; }}"
        );
        write_conf(dir.path(), &text);
        run(&["-t", "-c", "test.conf"], dir.path())
    };
    for (admin, place) in [
        ("unix:missing/a", "unix:missing/a failed (2: "),
        ("192.0.2.1:9 allow=10.0.0.0/8", "192.0.2.1:9 failed (99: "),
    ] {
        let (output, stderr) = tested(admin);
        assert!(output.status.success(), "{stderr}");
        let warned = format!("[warn] \"lb_admin\": bind() to {place}");
        assert!(stderr.contains(&warned), "{stderr}");
        assert!(
            stderr.contains("will not start in test.conf:2\n"),
            "{stderr}"
        );
    }
    let (_, stderr) = tested("unix:a");
    assert!(!stderr.contains("[warn]"), "{stderr}");
    for (admin, error) in [
        (
            "127.0.0.1:9 token=none",
            "cannot read the token file none (2: ",
        ),
        (
            "127.0.0.1:9 token=short",
            ", in the file short in test.conf:2\n",
        ),
        ("unix:a group=no-such", "there is no group \"no-such\""),
    ] {
        let (output, stderr) = tested(admin);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let line = stderr
            .lines()
            .find(|line| line.contains("[emerg]"))
            .unwrap();
        assert!(line.contains("[emerg] \"lb_admin\": "), "{stderr}");
        assert!(line.ends_with(" in test.conf:2"), "{stderr}");
        assert!(stderr.contains(error), "{stderr}");
    }
}
