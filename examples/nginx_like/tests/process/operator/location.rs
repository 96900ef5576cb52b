//! A subcommand finds the server and its token.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Administered, Answered, operator};
use crate::proxy::NginxLike;
use crate::sockets::Reserved;

const TOKEN: &str = "0123456789abcdef";

fn write_token(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Runs a subcommand with `LB_ADMIN`.
fn with_environment(address: &str, arguments: &[&str]) -> Answered {
    let output = Command::new(env!("CARGO_BIN_EXE_nginx_like"))
        .args(arguments)
        .env("LB_ADMIN", address)
        .output()
        .unwrap();
    Answered {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn the_option_comes_before_the_environment_and_the_configuration() {
    let [first, second] = [
        Administered::start("server { listen LISTEN; return first; }").await,
        Administered::start("server { listen LISTEN; return second; }").await,
    ];
    let is_first = |answered: Answered| {
        answered
            .stdout(0)
            .contains(&format!("pid {}:", first.proxy.id()))
    };
    let conf = second.conf();
    let conf = conf.to_str().unwrap();
    assert!(!is_first(operator(&["status", "-c", conf])));
    assert!(!is_first(operator(&["-c", conf, "status"])));
    assert!(!is_first(with_environment("", &["-c", conf, "status"])));
    assert!(is_first(with_environment(
        &first.address(),
        &["-c", conf, "status"]
    )));
    let arguments = ["status", "--admin", &first.address()];
    assert!(is_first(with_environment(&second.address(), &arguments)));
    let wrong = with_environment("127.0.0.1", &["status"]).stderr(2);
    assert_eq!(
        wrong,
        "nginx_like: LB_ADMIN: the port is missing: write ADDRESS:PORT, such as 127.0.0.1:9446\n"
    );
    let wrong = operator(&["status", "--admin", "https://localhost:1"]).stderr(2);
    assert!(
        wrong.contains("the admin server speaks http, not https"),
        "{wrong}"
    );
}

#[tokio::test]
async fn mistakes_of_the_configuration_hide_the_address_only_where_it_is_wrong() {
    let server = Administered::start("server { listen LISTEN; return a; }").await;
    let conf = server.conf();
    let good = std::fs::read_to_string(&conf).unwrap();
    let ask = |text: &str| {
        std::fs::write(&conf, text).unwrap();
        operator(&["status", "-c", conf.to_str().unwrap()])
    };
    let mistaken =
        good.replace("return a;", "proxy_pas a; proxy_timeout never;") + "worker_proceses 1;";
    ask(&mistaken).stdout(0);
    let unknown = ask(&good.replace("lb_admin unix:", "lb_admin unix;#")).stderr(2);
    assert!(
        unknown.contains("the address of the admin server is unknown (")
            && unknown.contains("test.conf:"),
        "{unknown}"
    );
    let unclosed = ask(good.trim_end().trim_end_matches('}')).stderr(2);
    assert!(unclosed.contains("unexpected end of file"), "{unclosed}");
    let without = ask("stream { server { listen 1; return a; } }").stderr(2);
    assert!(
        without.contains("has no \"lb_admin\"; give the address with --admin, or in LB_ADMIN"),
        "{without}"
    );
    std::fs::remove_file(&conf).unwrap();
    let missing = operator(&["status", "-c", conf.to_str().unwrap()]).stderr(2);
    assert!(missing.contains("failed (2: No such file"), "{missing}");
}

#[tokio::test]
async fn over_tcp_a_change_takes_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let [token, wrong, open] = ["token", "wrong", "open"].map(|name| dir.path().join(name));
    write_token(&token, TOKEN);
    write_token(&wrong, "another-token-of-someone");
    std::fs::write(&open, TOKEN).unwrap();
    std::fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    let admin = Reserved::any();
    let stream = format!(
        "lb_admin {} token={}; upstream u {{ server 127.0.0.1:9; }} server {{ listen LISTEN; proxy_pass u; }}",
        admin.addr,
        token.display()
    );
    let proxy = NginxLike::start("", &stream).await;
    let conf = proxy.dir().join("test.conf");
    let conf = conf.to_str().unwrap();
    let address = admin.addr.to_string();
    let url = format!("http://localhost:{}/", admin.addr.port());
    let drain = |more: &[&str]| operator(&[&["drain", "u", "127.0.0.1:9"], more].concat());

    for reads in [&["status", "-c", conf][..], &["status", "--admin", &url]] {
        let status = operator(reads).stdout(0);
        assert!(status.contains(&format!("pid {}:", proxy.id())), "{status}");
    }
    drain(&["-c", conf]).stdout(0);
    drain(&["-c", conf, "--admin", &address]).stdout(0);
    drain(&["--admin", &url, "--token-file", token.to_str().unwrap()]).stdout(0);
    let refused = drain(&["--admin", &address]).stderr(4);
    assert_eq!(
        refused,
        format!(
            "nginx_like: {address} refuses the request: send the token: \"Authorization: Bearer TOKEN\" (name the file of the token with --token-file)\n"
        )
    );
    let refused = drain(&["--admin", &address, "--token-file", wrong.to_str().unwrap()]).stderr(4);
    assert_eq!(
        refused,
        format!("nginx_like: {address} refuses the request: wrong token\n")
    );
    let readable = drain(&["--admin", &address, "--token-file", open.to_str().unwrap()]).stderr(2);
    assert!(readable.contains("open"), "{readable}");
    drain(&["--admin", &address, "--token-file", "/no/such"]).stderr(2);
    // The token of another server than that of the configuration stays here.
    let other = format!("localhost:{}", admin.addr.port());
    drain(&["-c", conf, "--admin", &other]).stderr(4);

    std::fs::remove_file(&token).unwrap();
    let refused = drain(&["-c", conf]).stderr(4);
    assert!(
        refused.contains("send the token") && refused.contains("cannot read the token file"),
        "{refused}"
    );
}
