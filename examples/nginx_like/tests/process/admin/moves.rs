//! Addresses of the admin server after reloads.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use super::{json, over_tcp, request};
use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, ask, eventually};

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
