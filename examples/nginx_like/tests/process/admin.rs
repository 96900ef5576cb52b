//! `lb_admin`: the admin server of a configuration.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use test_support::client_hello::asking_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::command_line::run;
use crate::proxy::{NginxLike, write_conf};
use crate::server_names::named;
use crate::sockets::{Conversation, Reserved, answer, ask, eventually, within};

/// The body of the answer to a request over the socket at `path`.
pub(crate) async fn request(path: &Path, method: &str, target: &str) -> String {
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

pub(crate) async fn json(path: &Path, method: &str, target: &str) -> Value {
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
    // No level keeps what operators change out of the log.
    proxy.logged("level=emerg").await;
    let changed = format!("backend={}", one.addr);
    let drained = json(&socket, "POST", &format!("/drain?{changed}")).await;
    assert_eq!(drained["backends"][0]["changed"], true);
    proxy.logged("Override set ").await;
    json(
        &socket,
        "POST",
        &format!("/max_conns?{changed}&max_conns=1"),
    )
    .await;
    json(
        &socket,
        "POST",
        &format!("/max_conns?{changed}&max_conns=default"),
    )
    .await;
    proxy.logged(" setting=max_conns 1").await;
    proxy.logged("Override cleared ").await;
    assert_eq!(proxy.count(" setting=max_conns"), 2);
    json(&socket, "POST", &format!("/undrain?{changed}")).await;
    json(&socket, "POST", &format!("/close?{changed}")).await;
    proxy.logged("Sessions closed by an operator").await;
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

/// An admin server of `stream` with a token, at a free address.
fn with_token(dir: &Path, addr: SocketAddr) -> String {
    let token = dir.join("token");
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    format!("lb_admin {addr} token={};", token.display())
}

/// The status and the body of the answer over TCP.
async fn over_tcp(addr: SocketAddr, method: &str, target: &str) -> (String, String) {
    let head = format!("{method} {target} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.to_owned(), body.to_owned())
}

#[tokio::test]
async fn the_admin_server_moves_between_addresses_that_overlap() {
    let (one, admin) = (Reserved::any(), Reserved::everywhere());
    let _one = one.serve("one").await;
    let port = admin.addr.port();
    let dir = tempfile::tempdir().unwrap();
    let stream = |admin: &str, more: &str| {
        format!(
            "{admin} {more} server {{ listen LISTEN; proxy_pass {}; }}",
            one.addr
        )
    };
    let narrow = stream(&format!("lb_admin 127.0.0.1:{port};"), "");
    let wide = stream(&format!("lb_admin 0.0.0.0:{port} allow=127.0.0.0/8;"), "");
    let proxy = NginxLike::start("", &narrow).await;
    let addr = ([127, 0, 0, 1], port).into();
    for conf in [&wide, &narrow] {
        proxy.reload("", conf).await;
        assert_eq!(over_tcp(addr, "GET", "/livez").await.0, "200");
    }
    let (_, status) = over_tcp(addr, "GET", "/status.json").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    // `worker_connections` is 512 by default, and a session takes two.
    assert_eq!(status["server"]["session_limit"], 256);
    let metrics = over_tcp(addr, "GET", "/metrics").await.1;
    assert!(
        metrics.contains("\nlb_server_sessions_limit 256\n"),
        "{metrics}"
    );

    // A `listen` cannot have the address before the admin server has left it.
    let listen = format!("server {{ listen 127.0.0.1:{port}; return a; }}");
    proxy.configure("", &stream("", &listen));
    proxy.signal(Signal::HUP);
    let why = format!("the running \"lb_admin 127.0.0.1:{port}\" listens there");
    proxy.logged(&why).await;
    assert_eq!(over_tcp(addr, "GET", "/livez").await.0, "200");
    assert_eq!(ask(proxy.addr).await.unwrap(), "one");
    let (_, status) = over_tcp(addr, "GET", "/status.json").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["reloads"].as_array().unwrap().len(), 3);

    // Another name of the directory is the same socket.
    let (run, var) = (dir.path().join("run"), dir.path().join("var"));
    std::fs::create_dir(&run).unwrap();
    std::os::unix::fs::symlink(&run, &var).unwrap();
    for name in [&run, &var] {
        let admin = format!("lb_admin unix:{}/lb.sock;", name.display());
        proxy.reload("", &stream(&admin, "")).await;
        assert_eq!(request(&run.join("lb.sock"), "GET", "/livez").await, "ok\n");
    }
    // A file that was removed is made again.
    std::fs::remove_file(run.join("lb.sock")).unwrap();
    let admin = format!("lb_admin unix:{}/lb.sock;", var.display());
    proxy.reload("", &stream(&admin, "")).await;
    assert_eq!(request(&run.join("lb.sock"), "GET", "/livez").await, "ok\n");
}

#[tokio::test]
async fn a_reload_that_adds_the_admin_server_begins_to_count() {
    let one = Reserved::any();
    let _one = one.serve("one").await;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("lb.sock");
    let server = format!("server {{ listen LISTEN; proxy_pass {}; }}", one.addr);
    let proxy = NginxLike::start("", &server).await;
    ask(proxy.addr).await.unwrap();
    let admin = format!("lb_admin unix:{}; {server}", socket.display());
    proxy.reload("", &admin).await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    open.say("x").await.unwrap();
    let sessions = json(&socket, "GET", "/sessions").await;
    assert_eq!(
        (&sessions["tracked"], &sessions["matched"]),
        (&true.into(), &1.into())
    );
    let metrics = request(&socket, "GET", "/metrics").await;
    let counted = format!(
        "lb_listener_sessions_active{{listener=\"{}\"}} 1",
        proxy.addr
    );
    assert!(metrics.contains(&counted), "{metrics}");
}

/// Every request that changes state is refused without the token, and leaves no trace but the log's.
#[tokio::test]
async fn without_the_token_no_request_changes_state() {
    let (one, admin) = (Reserved::any(), Reserved::any());
    let _one = one.serve("one").await;
    let addr = admin.addr;
    let dir = tempfile::tempdir().unwrap();
    let server = format!("server {{ listen LISTEN; proxy_pass {}; }}", one.addr);
    let stream = format!("{} {server}", with_token(dir.path(), addr));
    let proxy = NginxLike::start("", &stream).await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    open.say("x").await.unwrap();
    let state = async || {
        let (_, status) = over_tcp(addr, "GET", "/status.json").await;
        let status: Value = serde_json::from_str(&status).unwrap();
        let server = &status["server"];
        let backend = &status["upstreams"][0]["backends"][0];
        [
            &server["log_level"],
            &status["overrides"],
            &backend["verdict"],
            &backend["weight"],
        ]
        .map(Value::to_string)
    };
    let before = state().await;
    let (_, requests) = over_tcp(addr, "GET", "/requests").await;
    let paths = requests
        .lines()
        .filter_map(|line| line.strip_prefix("POST "));
    let paths: Vec<_> = paths.map(|line| line.split('?').next().unwrap()).collect();
    let asked = [
        ("/close", format!("backend={}", one.addr)),
        ("/drain", format!("backend={}", one.addr)),
        ("/log_level", "level=debug".to_owned()),
        ("/max_conns", format!("backend={}&max_conns=1", one.addr)),
        ("/ready", format!("backend={}", one.addr)),
        ("/undrain", format!("backend={}", one.addr)),
        ("/weight", format!("backend={}&weight=7", one.addr)),
    ];
    assert_eq!(
        paths,
        asked.each_ref().map(|(path, _)| *path),
        "all that change state"
    );
    for (path, query) in &asked {
        let (status, body) = over_tcp(addr, "POST", &format!("{path}?{query}")).await;
        assert_eq!(status, "401", "{path} {body}");
    }
    assert_eq!(state().await, before);
    open.say("y").await.unwrap();
    proxy.logged("Admin requests refused").await;
    assert!(
        proxy.count("Admin requests refused") <= 4,
        "{}",
        proxy.log()
    );
}

/// Slow, huge and many requests cost no session anything, not even when the sessions have all other descriptors.
#[tokio::test]
async fn hostile_clients_and_spent_descriptors_cost_neither_sessions_nor_the_operator() {
    let (one, admin) = (Reserved::any(), Reserved::any());
    let _one = one.serve("one").await;
    let addr = admin.addr;
    let dir = tempfile::tempdir().unwrap();
    let server = format!("server {{ listen LISTEN; proxy_pass {}; }}", one.addr);
    let stream = format!("{} {server}", with_token(dir.path(), addr));
    let proxy = NginxLike::start("worker_rlimit_nofile 128;", &stream).await;
    let (_, status) = over_tcp(addr, "GET", "/status.json").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let room = status["server"]["descriptors"]["sessions"]
        .as_u64()
        .unwrap();
    let mut sessions = Vec::new();
    for _ in 0..room {
        let mut session = Conversation::open(proxy.addr).await.unwrap();
        session.say("x").await.unwrap();
        sessions.push(session);
    }
    // Further clients wait in the kernel's queue.
    let mut waits = Conversation::open(proxy.addr).await.unwrap();
    let mut hostile = Vec::new();
    for i in 0..64 {
        // The kernel's queue may be full.
        let connect = timeout(Duration::from_millis(100), TcpStream::connect(addr));
        let Ok(Ok(mut client)) = connect.await else {
            break;
        };
        let begin = b"GET /status.json HTTP/1.1\r\nx: ";
        match i % 2 {
            0 => client.write_all(begin).await.unwrap(),
            // The server closes the connection amid it.
            _ => drop(client.write_all(&[b'x'; 64 * 1024]).await),
        }
        hostile.push(client);
    }
    assert!(hostile.len() > 16);
    for session in &mut sessions {
        assert_eq!(session.say("y").await.unwrap(), "one");
    }
    assert_eq!(over_tcp(addr, "GET", "/readyz").await.0, "200");
    let (status, _) = over_tcp(addr, "GET", "/metrics").await;
    assert_eq!(status, "200");
    drop(hostile);
    sessions.truncate(1);
    assert_eq!(waits.say("z").await.unwrap(), "one");
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
