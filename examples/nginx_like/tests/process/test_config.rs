//! `-t`: configurations that it accepts, refuses and warns of.

use std::fs;
use std::path::Path;

use crate::command_line::{GOOD, run};
use crate::proxy::write_conf;

#[test]
fn a_pid_file_that_cannot_be_written_fails_the_test_and_one_in_use_is_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(dir.path(), &format!("pid missing/lb.pid; {GOOD}"));
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("missing/lb.pid"), "{stderr}");
    write_conf(dir.path(), &format!("pid lb.pid; {GOOD}"));
    fs::write(dir.path().join("lb.pid"), "1\n").unwrap();
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert!(output.status.success(), "{stderr}");
    let said = fs::read_to_string(dir.path().join("lb.pid")).unwrap();
    assert_eq!(said, "1\n");
}

#[test]
fn a_good_configuration_passes_the_test() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(dir.path(), GOOD);
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert!(output.status.success());
    assert_eq!(
        stderr,
        "nginx_like: the configuration file test.conf syntax is ok\n\
         nginx_like: configuration file test.conf test is successful\n"
    );
    let (output, stderr) = run(&["-t", "-q", "-c", "test.conf"], dir.path());
    assert!(output.status.success());
    assert_eq!(stderr, "");
}

#[test]
fn a_block_that_is_not_served_is_a_warning_of_the_test() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(
        dir.path(),
        &format!("\nhttp {{ include mime.types; server {{ listen 80; }} }} {GOOD}"),
    );
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert!(output.status.success(), "{stderr}");
    let expected = "nginx_like: [warn] nginx_like serves \"stream\" only: the \"http\" block is skipped and not served \
                    in test.conf:2\n";
    assert!(stderr.starts_with(expected), "{stderr}");
    write_conf(dir.path(), "http { }");
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let expected = "[emerg] no \"stream\" block: there is nothing to balance in test.conf";
    assert!(stderr.contains(expected), "{stderr}");
}

fn mistakes_of(dir: &Path) -> Vec<String> {
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let last = "nginx_like: configuration file test.conf test failed\n";
    let lines = stderr.strip_suffix(last).unwrap().lines();
    let is_mistake = |line: &&str| line.starts_with("nginx_like: [emerg] ");
    let mistakes = lines.filter(is_mistake);
    let mistakes = mistakes.map(|line| line.strip_prefix("nginx_like: [emerg] ").unwrap());
    mistakes.map(str::to_owned).collect()
}

#[test]
fn a_test_names_every_mistake_and_none_that_only_follows_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let text = "worker_processes none;
stream {
    upstream u { server 127.0.0.1:99999; }
    upstream u { server 127.0.0.1:1; nonsense { a; } }
    foo { server { listen 1; } }
    map $remote_addr b { default u; }
    include broken.conf;
    server { listen 127.0.0.1:4461 backlog=9; server_name a; proxy_pass $b; proxy_ssl on; }
    server { listen 127.0.0.1:4461 backlog=9; server_name b; proxy_pass u;
        proxy_timeout never; proxy_timeout
        never; }
    server { listen 127.0.0.1:4463; }
    server { listen 127.0.0.1:4464; proxy_pass a:b; }
    server { listen nowhere:; proxy_pass u; }
    server { proxy_pass u; }
}
bar;
";
    write_conf(dir.path(), text);
    fs::write(dir.path().join("broken.conf"), "tcp_nodelay 1;\nserver {\n").unwrap();
    let places: Vec<_> = mistakes_of(dir.path())
        .into_iter()
        .map(|mistake| {
            let (what, place) = mistake.rsplit_once(" in ").unwrap();
            assert!(!what.is_empty());
            place.to_owned()
        })
        .collect();
    let expected = [
        "test.conf:1",
        "test.conf:3",
        "test.conf:4",
        "test.conf:5",
        "test.conf:6",
        "broken.conf:1",
        "broken.conf:3",
        "test.conf:8",
        "test.conf:10",
        "test.conf:11",
        "test.conf:13",
        "test.conf:14",
        "test.conf:15",
        "test.conf:17",
        // Between blocks.
        "test.conf:9",
    ];
    assert_eq!(places, expected);
    // A start names the first.
    let (_, stderr) = run(&["-c", "test.conf"], dir.path());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.ends_with(" in test.conf:1\n"), "{stderr}");
}

#[test]
fn a_test_names_everything_that_a_start_would_stop_at() {
    let dir = tempfile::tempdir().unwrap();
    let text = "pid no/such.pid; error_log no/such.log; stream {
        server { listen 127.0.0.1:4461; proxy_pass 127.0.0.1:4461; } }";
    write_conf(dir.path(), text);
    let (_, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    for mistake in ["\"no/such.pid\"", "\"no/such.log\"", "leads back to"] {
        assert!(stderr.contains(mistake), "{stderr}");
    }
}

#[test]
fn a_syslog_server_without_an_address_is_a_warning_of_a_test_and_the_error_of_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let text = "error_log stderr;
        error_log syslog:server=no-such-host.invalid;
        stream { log_format f x;
            access_log syslog:server=no-such-host.invalid:515 f;
            server { listen 127.0.0.1:4461; return x; }
            server { listen 127.0.0.1:4462; return x; } }";
    write_conf(dir.path(), text);
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert!(output.status.success(), "{stderr}");
    let warnings: Vec<_> = stderr
        .lines()
        .filter(|line| line.contains("[warn]"))
        .collect();
    let what = "host not found in syslog server \"no-such-host.invalid";
    for (warning, (port, line)) in warnings.iter().zip([(514, 2), (515, 4)]) {
        let start = format!("{what}:{port}\": the server will not start in ");
        assert!(warning.contains(&start), "{stderr}");
        assert!(warning.ends_with(&format!("test.conf:{line}")), "{stderr}");
    }
    assert_eq!(warnings.len(), 2, "{stderr}");
    let text = "error_log stderr;
        error_log syslog:server=no-such-host.invalid;
        stream { server { listen 127.0.0.1:4461; return x; } }";
    write_conf(dir.path(), text);
    let (output, stderr) = run(&["-c", "test.conf"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("[emerg]"), "{stderr}");
    assert!(stderr.contains(&format!("{what}:514\" (")), "{stderr}");
    assert!(stderr.trim_end().ends_with("test.conf:2"), "{stderr}");
}

#[test]
fn a_test_warns_of_what_would_stop_nginx_at_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let text = "stream {
        upstream u { server localhost:446;
            server no-such-host.invalid:446;
            server later.invalid:446 resolve; }
        server { listen 127.0.0.1:4461; proxy_pass u; }
        server { listen 192.0.2.1:4461; proxy_pass
            no-such-host.invalid:1; }
    }";
    write_conf(dir.path(), text);
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert!(output.status.success(), "{stderr}");
    let warnings = stderr.lines().filter(|line| line.contains("[warn]"));
    let warnings: Vec<_> = warnings.collect();
    let expected = [
        ("bind() to 192.0.2.1:4461 failed (99: ", ":6"),
        (
            "host not found in upstream \"no-such-host.invalid:446\"",
            ":3",
        ),
        (
            "host not found in upstream \"no-such-host.invalid:1\"",
            ":7",
        ),
    ];
    assert_eq!(warnings.len(), expected.len(), "{stderr}");
    for (warning, (what, line)) in warnings.iter().zip(expected) {
        assert!(
            warning.contains(what) && warning.ends_with(line),
            "{stderr}"
        );
    }
}

#[test]
fn a_directive_that_is_missing_says_what_to_do_instead() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(dir.path(), "stream { mqtt_preread on; proxy_ssl on; }");
    let mistakes = mistakes_of(dir.path());
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(mistakes[0].contains("not supported (remove it: "));
    assert!(mistakes[1].contains("not supported (end TLS in front"));
}

/// Only a test refuses loops: nginx accepts them, and an access rule may refuse the connections.
#[test]
fn a_loop_fails_the_test_and_names_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = "stream { upstream u {\nserver 127.0.0.1:4462;\n}
        server { listen 127.0.0.1:4461; proxy_pass u; }
        server { listen 4462; proxy_pass 127.0.0.1:4461; } }";
    write_conf(dir.path(), text);
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let expected = "nginx_like: [emerg] server \"127.0.0.1:4462\" leads back to \"listen 127.0.0.1:4461\" by \
                    way of \"listen 0.0.0.0:4462\" in test.conf:2\n";
    assert!(stderr.contains(expected), "{stderr}");
}

#[test]
fn a_test_says_what_to_do_below_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(
        dir.path(),
        &format!(
            "{} user;",
            GOOD.replace("proxy_pass", "proxy_timout 1s;\nproxy_pass")
        ),
    );
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let expected = "nginx_like: [emerg] unknown directive \"proxy_timout\" in test.conf:1\n\
                    nginx_like: [notice] did you mean \"proxy_timeout\"?\n\
                    nginx_like: [emerg] invalid number of arguments in \"user\" directive in test.conf:2\n\
                    nginx_like: [notice] \"user\" takes 1 to 2 arguments\n";
    assert!(stderr.starts_with(expected), "{stderr}");
    // A start does not.
    let (_, stderr) = run(&["-c", "test.conf"], dir.path());
    assert!(!stderr.contains("[notice]"), "{stderr}");
}

#[test]
fn a_test_prints_warnings_beside_mistakes() {
    let dir = tempfile::tempdir().unwrap();
    write_conf(
        dir.path(),
        "pcre_jit on;\nworker_processes none;\nstream { server { listen 1; return a; } }",
    );
    let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let expected = "nginx_like: [warn] the \"pcre_jit\" directive has no effect here in test.conf:1\n\
                    nginx_like: [emerg] \"worker_processes\" directive invalid value in test.conf:2\n\
                    nginx_like: [notice] it takes a number, or \"auto\" for one of each processor\n\
                    nginx_like: configuration file test.conf test failed\n";
    assert_eq!(stderr, expected);
}

#[test]
fn a_test_names_every_log_loop_and_upstream_that_a_start_would_stop_at() {
    let dir = tempfile::tempdir().unwrap();
    let text = "error_log no/a.log; stream {
        server { listen 127.0.0.1:4461; proxy_pass 127.0.0.1:4461; error_log no/b.log; }
        server { listen 127.0.0.1:4462; proxy_pass 127.0.0.1:4463; }
        server { listen 127.0.0.1:4463; proxy_pass 127.0.0.1:4462; }
        server { listen 127.0.0.1:4464; proxy_pass 127.0.0.1:4461; }
    }";
    write_conf(dir.path(), text);
    let mistakes = mistakes_of(dir.path());
    let has = |text: &str| {
        mistakes
            .iter()
            .filter(|mistake| mistake.contains(text))
            .count()
    };
    assert_eq!(has("leads back to"), 2, "{mistakes:?}");
    assert_eq!(has("\"no/a.log\"") + has("\"no/b.log\""), 2, "{mistakes:?}");
    assert_eq!(mistakes.len(), 4, "{mistakes:?}");
}

#[cfg(feature = "kubernetes")]
#[test]
fn a_test_names_every_upstream_that_cannot_be_built() {
    let dir = tempfile::tempdir().unwrap();
    let text = "stream {
        upstream a { kubernetes default/a kubeconfig=no-a.yaml; }
        upstream b { kubernetes default/b kubeconfig=no-b.yaml; }
        server { listen 127.0.0.1:4461; proxy_pass a; }
    }";
    write_conf(dir.path(), text);
    let mistakes = mistakes_of(dir.path());
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(mistakes[0].contains("no-a.yaml") && mistakes[1].contains("no-b.yaml"));
}

/// nginx, too, reads the text of other protocols as bytes.
#[test]
fn a_block_that_is_skipped_need_not_be_utf_8() {
    let dir = tempfile::tempdir().unwrap();
    let text = [
        b"http { server_name \xe4.example; \"\xff\" { } } ",
        GOOD.as_bytes(),
    ]
    .concat();
    fs::write(dir.path().join("test.conf"), text).unwrap();
    let (output, stderr) = run(&["-tq", "-c", "test.conf"], dir.path());
    assert!(output.status.success(), "{stderr}");
    let text = [b"stream { resolver \xe4; } ", GOOD.as_bytes()].concat();
    fs::write(dir.path().join("test.conf"), text).unwrap();
    let (output, stderr) = run(&["-tq", "-c", "test.conf"], dir.path());
    assert!(
        !output.status.success() && stderr.contains("is not valid UTF-8"),
        "{stderr}"
    );
}

#[test]
fn a_directory_of_a_readiness_or_state_file_that_cannot_be_written_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    fs::write(dir.path().join("file"), "").unwrap();
    let test = |main: &str| {
        let text = format!("pid {at}/pid;\n{main}\n{GOOD}");
        fs::write(dir.path().join("test.conf"), text).unwrap();
        let (output, stderr) = run(&["-t", "-c", "test.conf"], dir.path());
        assert!(output.status.success(), "{stderr}");
        let warnings = stderr.lines().filter(|line| line.contains("[warn]"));
        warnings.map(str::to_owned).collect::<Vec<_>>()
    };
    let none: [String; 0] = [];
    assert_eq!(
        test(&format!("lb_ready_file {at}/ready;\nlb_state {at}/state;")),
        none
    );
    assert_eq!(test("lb_ready_file ready;\nlb_state state;"), none);
    let warnings = test(&format!(
        "lb_ready_file {at}/none/ready;\nlb_state {at}/file/state;"
    ));
    let [ready, state] = warnings.as_slice() else {
        panic!("{warnings:?}");
    };
    assert!(
        ready.contains("\"lb_ready_file\"") && ready.contains("none\""),
        "{ready}"
    );
    assert!(ready.contains("(2: No such file or directory)"), "{ready}");
    assert!(ready.ends_with("test.conf:2"), "{ready}");
    assert!(
        state.contains("\"lb_state\"") && state.contains("file\""),
        "{state}"
    );
    assert!(state.ends_with("test.conf:3"), "{state}");
}
