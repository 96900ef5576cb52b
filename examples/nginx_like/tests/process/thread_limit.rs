//! Threads that the kernel refuses to start.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::geteuid;

use crate::proxy::write_conf;
use crate::sockets::Reserved;

/// A user without processes of its own, so that the number of its threads is known.
const OTHER_USER: u32 = 0x7777_0447;

/// One of the process itself, two of the workers. That of the log may have ended by then.
const THREADS: u32 = 3;

#[test]
fn a_thread_that_cannot_be_started_is_an_error_with_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let listen = Reserved::any().addr;
    let text = format!(
        "worker_processes 2; stream {{ server {{ listen {listen}; proxy_pass 127.0.0.1:1; }} }}"
    );
    let conf = write_conf(dir.path(), &text);
    // The kernel does not limit the superuser, and other users have more than one thread already.
    let is_root = geteuid().is_root();
    let limits = if is_root { 1..THREADS } else { 1..2 };
    for limit in limits {
        let mut command = Command::new("sh");
        // The letter differs between shells.
        let script = "ulimit -u \"$1\" 2>/dev/null || ulimit -p \"$1\"; exec \"$0\" -c /dev/stdin";
        command.args(["-c", script, env!("CARGO_BIN_EXE_nginx_like")]);
        command.arg(limit.to_string());
        command.stdin(std::fs::File::open(&conf).unwrap());
        if is_root {
            command.uid(OTHER_USER).gid(OTHER_USER);
        }
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        if output.status.code() == Some(126) {
            eprintln!("skipped: other users may not run the binary");
            return;
        }
        assert_eq!(output.status.code(), Some(1), "{limit}: {stderr}");
        assert!(
            stderr.contains("[emerg]") && stderr.contains("cannot be started (11: "),
            "{limit}: {stderr}"
        );
        assert!(stderr.contains("TasksMax"), "{limit}: {stderr}");
    }
}
