//! `lb_admin`: the admin server of a configuration.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use test_support::client_hello::asking_for;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

use crate::command_line::run;
use crate::proxy::{NginxLike, write_conf};
use crate::server_names::named;
use crate::sockets::{Reserved, answer, ask, eventually};

/// The body of the answer to a request over the socket at `path`.
async fn request(path: &Path, method: &str, target: &str) -> String {
    let path = path.to_owned();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nx-lb-admin: 1\r\nconnection: close\r\n\r\n"
    );
    let exchange = move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    spawn_blocking(exchange).await.unwrap()
}

async fn json(path: &Path, method: &str, target: &str) -> Value {
    let body = request(path, method, target).await;
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[tokio::test]
async fn a_drain_survives_reloads_and_the_socket_follows_the_configuration() {
    let (one, two) = (Reserved::any(), Reserved::any());
    let (_one, _two) = (one.serve("one").await, two.serve("two").await);
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first.sock", "second.sock"].map(|name| dir.path().join(name));
    let stream = |admin: &str| {
        format!(
            "{admin} upstream u {{ server {}; server {}; }} server {{ listen LISTEN; proxy_pass u; }}",
            one.addr, two.addr
        )
    };
    let at = |path: &Path| stream(&format!("lb_admin unix:{};", path.display()));
    let proxy = NginxLike::start("", &at(&first)).await;
    let ready = async || {
        request(&first, "GET", "/readyz")
            .await
            .ends_with("\nready\n")
    };
    while !ready().await {
        tokio::task::yield_now().await;
    }
    let drained = json(&first, "POST", &format!("/drain?backend={}", one.addr)).await;
    assert_eq!(drained["backends"][0]["changed"], true);
    for _ in 0..4 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "two");
    }

    // A configuration with a mistake changes nothing and is listed.
    proxy.configure("", &stream("lb_admin 0.0.0.0:1;"));
    proxy.signal(Signal::HUP);
    proxy.logged("Configuration not applied").await;
    let status = json(&first, "GET", "/status.json").await;
    assert_eq!(status["reloads"][0]["applied"], false);
    let detail = status["reloads"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("lb_admin"), "{detail}");

    proxy.reload("", &at(&second)).await;
    eventually("the end of the first socket", || !first.exists()).await;
    let status = json(&second, "GET", "/status.json").await;
    assert_eq!(status["reloads"][1]["applied"], true);
    assert_eq!(status["overrides"][0]["value"], "drain");
    assert_eq!(ask(proxy.addr).await.unwrap(), "two");
    let metrics = request(&second, "GET", "/metrics").await;
    for line in [
        "nginx_like_config_reloads_total{result=\"applied\"} 1",
        "nginx_like_config_reloads_total{result=\"failed\"} 1",
        "lb_server_reloads_total{result=\"applied\"} 1",
        "lb_server_reloads_total{result=\"failed\"} 1",
        "lb_listener_sessions_active",
        "process_open_fds",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    proxy.reload("", &stream("")).await;
    eventually("the end of the second socket", || !second.exists()).await;
}

/// Each line of what runs has its place, includes in the place where they take effect, and secrets are hidden.
#[tokio::test]
async fn the_configuration_that_runs_is_shown_with_its_places() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, included) = (dir.path().join("lb.sock"), dir.path().join("more.conf"));
    std::fs::write(
        &included,
        "# a comment\nmatch hello {\n  send \"AUTH s3cret\";\n  expect ok;\n}\n\
         upstream u { server 127.0.0.1:1; }",
    )
    .unwrap();
    let stream = |idle: &str| {
        format!(
            "lb_admin unix:{};\ninclude {};\nserver {{ listen LISTEN;\n  proxy_timeout\n    {idle};\n\
             health_check \"send=AUTH s3cret\" expect=ok; proxy_pass u; }}",
            socket.display(),
            included.display()
        )
    };
    let proxy = NginxLike::start("", &stream("1m")).await;
    let lines = async || {
        let config = json(&socket, "GET", "/config").await;
        let lines = config["lines"].as_array().unwrap().iter();
        let line = |line: &Value| {
            let file = line["file"].as_str().unwrap().to_owned();
            let text = line["text"].as_str().unwrap().to_owned();
            (file, line["line"].as_u64().unwrap(), text)
        };
        lines.map(line).collect::<Vec<_>>()
    };
    let main = proxy.dir().join("test.conf").display().to_string();
    let more = included.display().to_string();
    let shown = lines().await;
    let has = |file: &str, line: u64, text: &str| {
        let wanted = (file.to_owned(), line, text.to_owned());
        assert!(shown.contains(&wanted), "{wanted:?} is not in {shown:#?}");
    };
    has(&main, 4, "stream {");
    has(&main, 6, &format!("    # include {more}"));
    has(&more, 2, "    match hello {");
    has(&more, 3, "        send <hidden>;");
    has(&more, 5, "    }");
    has(&more, 6, "        server 127.0.0.1:1;");
    has(&main, 8, "        proxy_timeout 1m;");
    has(&main, 10, "        health_check send=<hidden> expect=ok;");
    assert!(!format!("{shown:?}").contains("s3cret"));

    proxy.reload("", &stream("2m")).await;
    let texts = |lines: Vec<(String, u64, String)>| lines.into_iter().map(|line| line.2);
    let after: Vec<_> = texts(lines().await).collect();
    assert!(after.contains(&"        proxy_timeout 2m;".to_owned()));

    // The one that runs is shown, not the file.
    proxy.configure("", "lb_admin nonsense;");
    proxy.signal(Signal::HUP);
    proxy.logged("Configuration not applied").await;
    assert_eq!(texts(lines().await).collect::<Vec<_>>(), after);
}

#[tokio::test]
async fn an_operator_sets_the_log_level_of_messages_and_sessions() {
    let one = Reserved::any();
    let _one = one.serve("one").await;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("lb.sock");
    let stream = format!(
        "lb_admin unix:{};\nerror_log stderr warn;\nserver {{ listen LISTEN; proxy_pass {}; }}",
        socket.display(),
        one.addr
    );
    let proxy = NginxLike::start("", &stream).await;
    let set = async |level: &str| json(&socket, "POST", &format!("/log_level?level={level}")).await;
    let now = async || json(&socket, "GET", "/log_level").await;
    // The main level's log of the tests.
    assert_eq!(
        now().await,
        serde_json::json!({ "level": "info", "by": null })
    );
    ask(proxy.addr).await.unwrap();
    assert_eq!(
        proxy.count(" connected to "),
        0,
        "the server's own log is above info"
    );

    let answer = set("debug").await;
    assert_eq!(
        (&answer["before"], &answer["level"]),
        (&"info".into(), &"debug".into())
    );
    ask(proxy.addr).await.unwrap();
    proxy.logged(" connected to ").await;
    proxy.logged("Log level set by=uid ").await;
    let status = json(&socket, "GET", "/status.json").await;
    assert_eq!(status["server"]["log_level"], "debug");
    assert!(
        status["server"]["log_level_by"]
            .as_str()
            .unwrap()
            .starts_with("uid ")
    );

    // A reload keeps it, as it keeps overrides of backends.
    proxy.reload("", &stream).await;
    assert_eq!(now().await["level"], "debug");

    set("emerg").await;
    proxy.logged("level=emerg").await;
    let before = proxy.count(" connected to ");
    ask(proxy.addr).await.unwrap();
    let wrong = set("loud").await;
    assert!(
        wrong["error"].as_str().unwrap().contains("notice"),
        "{wrong}"
    );
    set("default").await;
    proxy.logged("level=default").await;
    assert_eq!(
        now().await,
        serde_json::json!({ "level": "info", "by": null })
    );
    assert_eq!(proxy.count(" connected to "), before);
}

/// The route of a client is explained as sessions take it: `server_name`, `map`, `set`, `pass`.
#[tokio::test]
async fn a_route_is_explained_as_sessions_take_it() {
    let (one, two) = (named("one").await, named("two").await);
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("lb.sock");
    let stream = format!(
        "lb_admin unix:{};
        map $ssl_preread_server_name $pool {{ default pool_one; mapped.test pool_two; ip.test {two}; }}
        upstream pool_one {{ server {one}; }}
        upstream pool_two {{ hash $remote_addr; server {two}; }}
        server {{ listen LISTEN; server_name mapped.test ip.test; ssl_preread on; proxy_pass $pool; }}
        server {{ listen LISTEN default_server; ssl_preread on; set $to pool_two; proxy_pass $to; }}
        server {{ listen LISTEN; server_name plain.test; ssl_preread on; proxy_pass pool_one; }}
        server {{ listen LISTEN; server_name closed.test; ssl_preread on; return \"none\"; }}",
        socket.display()
    );
    let proxy = NginxLike::start("", &stream).await;
    let explain = async |name: &str| {
        let target = format!(
            "/explain?listener={}&client=10.0.0.1&sni={name}",
            proxy.addr
        );
        json(&socket, "GET", &target).await
    };
    for (name, upstream, line, backend) in [
        ("mapped.test", "pool_two", 9, "two"),
        ("ip.test", &*two.to_string(), 9, "two"),
        ("other.test", "pool_two", 10, "two"),
        ("plain.test", "pool_one", 11, "one"),
    ] {
        let mut client = TcpStream::connect(proxy.addr).await.unwrap();
        client.write_all(&asking_for(name)).await.unwrap();
        assert_eq!(answer(&mut client).await, backend, "{name}");
        let explained = explain(name).await;
        assert_eq!(explained["upstream"], upstream, "{name} {explained}");
        let expected = if backend == "one" { one } else { two };
        assert_eq!(
            explained["chosen"],
            expected.to_string(),
            "{name} {explained}"
        );
        let route = explained["route"].as_array().unwrap();
        let server = route[route.len() - 1]["server"].as_str().unwrap();
        assert!(
            server.ends_with(&format!(".conf:{line}")),
            "{name} {explained}"
        );
        assert!(server.starts_with("server in "), "{name} {explained}");
    }
    let closed = explain("closed.test").await;
    assert_eq!(
        (&closed["action"], &closed["bytes"]),
        (&"respond".into(), &4.into())
    );
    // A question is no client.
    assert!(!proxy.log().contains("client 10.0.0.1"), "{}", proxy.log());
}

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
