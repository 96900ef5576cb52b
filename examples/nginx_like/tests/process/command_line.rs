//! Output of the binary without serving.

use std::path::Path;
use std::process::{Command, Output};

use crate::proxy::write_conf;
use crate::sockets::Reserved;

pub(crate) const GOOD: &str =
    "events {} stream { server { listen 127.0.0.1:4461; proxy_pass 127.0.0.1:446; } }";

pub(crate) fn run(arguments: &[&str], dir: &Path) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nginx_like"))
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    (output, stderr)
}

#[test]
fn relative_names_start_from_the_prefix() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("conf")).unwrap();
    let conf = write_conf(dir.path(), GOOD);
    std::fs::rename(conf, dir.path().join("conf/nginx.conf")).unwrap();
    let prefix = dir.path().to_str().unwrap();
    let (output, stderr) = run(&["-t", "-p", prefix], Path::new("/"));
    assert!(output.status.success(), "{stderr}");
}

#[test]
fn a_configuration_where_nginx_has_it_is_served_without_arguments() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("conf")).unwrap();
    std::fs::write(dir.path().join("conf/nginx.conf"), "nonsense;").unwrap();
    let (output, stderr) = run(&[], dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("unknown directive \"nonsense\" in conf/nginx.conf:1"),
        "{stderr}"
    );
}

#[test]
fn mistakes_name_their_line_and_start_nothing() {
    let reserved = Reserved::any();
    let listen = format!("listen {};", reserved.addr);
    let cases = [
        (
            format!("stream {{\n server {{ {listen}\n proxy_pas u; }} }}"),
            "unknown directive \"proxy_pas\" in test.conf:3",
        ),
        (
            format!("server {{ {listen} }}"),
            "\"server\" directive is not allowed here in test.conf:1",
        ),
        (
            format!("stream {{ server {{ {listen}\nproxy_timeout never; }} }}"),
            "\"proxy_timeout\" directive invalid value in test.conf:2",
        ),
        (
            format!("stream {{ server {{ {listen}\n"),
            "unexpected end of file, expecting \"}\" in test.conf:2",
        ),
        (
            format!(
                "stream {{ server {{\n{listen} proxy_pass 127.0.0.1:1;\nproxy_timeout 1y;\n}} }}"
            ),
            "\"proxy_timeout\" directive invalid value in test.conf:3",
        ),
        (
            "events {}".to_owned(),
            "no \"stream\" block: there is nothing to balance in test.conf",
        ),
    ];
    for (text, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        write_conf(dir.path(), &text);
        let (output, stderr) = run(&["-c", "test.conf"], dir.path());
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(
            stderr,
            format!("nginx_like: [emerg] {expected}\n"),
            "{text}"
        );
        let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
        assert_eq!(output.status.code(), Some(1), "{text}");
        let last = stderr.lines().last();
        assert_eq!(
            last,
            Some("nginx_like: configuration file test.conf test failed")
        );
    }
}

/// A file can contain any bytes; an error about it is one line.
#[test]
fn control_characters_of_a_file_are_escaped() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(dir.path(), "\"forged\u{1b}[2J\n\" 1;");
    let (output, stderr) = run(&["-c", "test.conf"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let expected = "nginx_like: [emerg] unknown directive \"forged\\u{1b}[2J\\n\" in test.conf:2\n";
    assert_eq!(stderr, expected);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = format!("stream {{ server {{ listen {addr}; proxy_pass 127.0.0.1:1; }} }}");
    write_conf(dir.path(), &text);
    let (output, stderr) = run(&["-c", "test.conf"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let expected =
        format!("nginx_like: [emerg] bind() to {addr} failed (98: Address already in use)");
    assert!(stderr.contains(&expected), "{stderr}");
}

#[test]
fn the_version_and_the_help_are_printed_with_success() {
    let version = format!(
        "nginx_like version: nginx_like/{}\n",
        env!("CARGO_PKG_VERSION")
    );
    let (output, stderr) = run(&["-v"], Path::new("/"));
    assert!(output.status.success());
    assert_eq!(stderr, version);
    let (output, stderr) = run(&["-V"], Path::new("/"));
    assert!(output.status.success());
    assert!(stderr.starts_with(&version), "{stderr}");
    assert!(stderr.contains("\nconfigure arguments: --"), "{stderr}");
    for help in ["-h", "-?"] {
        let (output, _) = run(&[help], Path::new("/"));
        assert!(output.status.success(), "{help}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Usage: nginx_like"), "{text}");
    }
    let (output, _) = run(&["-x"], Path::new("/"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn directives_of_the_command_line_come_before_the_file() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(dir.path(), &format!("worker_processes 2; {GOOD}"));
    let test = |directives: &str| run(&["-tq", "-c", "test.conf", "-g", directives], dir.path());
    let (output, stderr) = test("daemon off; pid lb.pid;");
    assert!(output.status.success(), "{stderr}");
    assert!(dir.path().join("lb.pid").exists());
    assert!(test("").0.status.success());
    // Every message is nginx's.
    for (directives, expected) in [
        (
            "daemon off",
            "unexpected end of parameter, expecting \";\" in command line",
        ),
        ("foo 1;", "unknown directive \"foo\" in command line"),
        (
            "events {",
            "block directives are not supported in -g option in command line",
        ),
        ("}", "unexpected \"}\" in command line"),
        (
            "include x.conf;",
            "open() \"x.conf\" failed (2: No such file or directory) in command line",
        ),
        (
            "worker_processes 1;",
            "\"worker_processes\" directive is duplicate in test.conf:1",
        ),
    ] {
        let (output, stderr) = test(directives);
        assert_eq!(output.status.code(), Some(1), "{directives}");
        let expected = format!("nginx_like: [emerg] {expected}\n");
        assert!(stderr.starts_with(&expected), "{stderr}");
    }
}

#[test]
fn the_log_of_the_command_line_is_for_a_configuration_without_one() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(dir.path(), GOOD);
    let arguments = ["-t", "-c", "test.conf", "-e", "other.log"];
    let (output, stderr) = run(&arguments, dir.path());
    assert!(output.status.success(), "{stderr}");
    assert!(dir.path().join("other.log").exists());
    std::fs::remove_file(dir.path().join("other.log")).unwrap();
    write_conf(dir.path(), &format!("error_log own.log; {GOOD}"));
    let (output, stderr) = run(&arguments, dir.path());
    assert!(output.status.success(), "{stderr}");
    assert!(dir.path().join("own.log").exists());
    // As in nginx, which opens it before it reads the configuration.
    assert!(dir.path().join("other.log").exists());
    let (output, stderr) = run(&["-t", "-c", "test.conf", "-e", "no/such.log"], dir.path());
    assert!(output.status.success(), "{stderr}");
    let alert = "nginx_like: [alert] could not open error log file: open() \"no/such.log\" failed (2: No such file or \
                 directory)\n";
    assert!(stderr.starts_with(alert), "{stderr}");
    write_conf(dir.path(), GOOD);
    let (output, stderr) = run(&["-t", "-c", "test.conf", "-e", "no/such.log"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("open() \"no/such.log\" failed (2"),
        "{stderr}"
    );
}

#[test]
fn the_dump_has_every_file_once_after_the_test() {
    let dir = tempfile::tempdir().unwrap();
    let text = "events {} # a\nstream { include b.conf; include b.conf; include c*.conf; }";
    write_conf(dir.path(), text);
    std::fs::write(dir.path().join("b.conf"), "# b\n").unwrap();
    let server = "server { listen 127.0.0.1:4461; proxy_pass 127.0.0.1:446; }";
    std::fs::write(dir.path().join("c1.conf"), server).unwrap();
    let (output, stderr) = run(&["-T", "-c", "test.conf"], dir.path());
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.ends_with(" test is successful\n"), "{stderr}");
    let dump = format!(
        "# configuration file test.conf:\n{text}\n# configuration file b.conf:\n# b\n\n\
         # configuration file c1.conf:\n{server}\n"
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), dump);
    let (output, stderr) = run(&["-T", "-q", "-c", "test.conf"], dir.path());
    assert_eq!(
        (output.stdout, stderr.as_str()),
        (dump.into_bytes(), ""),
        "-q"
    );
    std::fs::write(dir.path().join("b.conf"), "nonsense;").unwrap();
    let (output, stderr) = run(&["-T", "-c", "test.conf"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("in b.conf:1\n"), "{stderr}");
    assert!(output.stdout.is_empty());
}
