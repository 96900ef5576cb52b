//! `status`, `explain`, `sessions`, `log-level`, `config`.

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::{Administered, cells};
use crate::sockets::{Conversation, Reserved, ask, eventually, within};

#[tokio::test]
async fn the_status_shows_upstreams_backends_and_problems() {
    let (one, two) = (Reserved::any(), Reserved::any());
    let _one = one.serve("one").await;
    let stream = format!(
        "upstream u {{ server {}; server {} max_fails=1 fail_timeout=1h; }} upstream other {{ server {}; }} \
         server {{ listen LISTEN; proxy_pass u; }}",
        one.addr, two.addr, one.addr
    );
    let server = Administered::start(&stream).await;
    let status = server.ask(&["status"]).stdout(0);
    let pid = server.proxy.id();
    assert!(status.starts_with("nginx_like "), "{status}");
    assert!(
        status.contains(&format!(", pid {pid}: ready, serving for ")),
        "{status}"
    );
    assert_eq!(
        cells(&status, "LISTENER"),
        ["LISTENER", "UPSTREAM", "OPEN", "ACCEPTED"]
    );
    assert_eq!(
        cells(&status, &format!("  {}", two.addr)),
        [&*two.addr.to_string(), "eligible", "1", "0"]
    );

    // The second server refuses, and is ejected.
    for _ in 0..2 {
        assert_eq!(ask(server.proxy.addr).await.unwrap(), "one");
    }
    let status = server.ask(&["status", "--upstream", "u"]).stdout(0);
    let ejected = format!("! Backend {} of upstream u is ejected: ", two.addr);
    assert!(status.starts_with(&ejected), "{status}");
    assert!(status.contains("\nu: 1 of 2 backends usable, "), "{status}");
    assert!(!status.contains("\nother: "), "{status}");
    let heading = status.find("BACKEND ").unwrap();
    let first = status[heading..].lines().nth(1).unwrap();
    assert!(
        first.contains(&two.addr.to_string()),
        "the backend in trouble stands first: {status}"
    );

    let all = server.json(&["status", "--upstream", "u"]);
    assert_eq!(all["server"]["pid"], pid);
    assert_eq!(all["upstreams"].as_array().unwrap().len(), 2);
    let unknown = server.ask(&["status", "--upstream", "x\u{1b}"]).stderr(1);
    assert_eq!(unknown, "nginx_like: there is no upstream \"x\\u{1b}\"\n");
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_not_as_asked() {
    let backend = Reserved::any();
    let _backend = backend.serve("one").await;
    let stream = format!(
        "upstream u {{ server {}; }} server {{ listen LISTEN; proxy_pass u; }}",
        backend.addr
    );
    let server = Administered::start(&stream).await;
    let mut conversation = Conversation::open(server.proxy.addr).await.unwrap();
    conversation.say("hello").await.unwrap();
    // It waits for the session.
    server.proxy.signal(rustix::process::Signal::QUIT);
    eventually("the begin of the shutdown", || {
        server.ask(&["status"]).code != 0
    })
    .await;
    let status = server.ask(&["status"]).stdout(1);
    assert!(status.starts_with("! Not ready: "), "{status}");
    assert!(status.contains(": not ready, "), "{status}");
    assert_eq!(conversation.say("more").await.unwrap(), "one");
}

#[tokio::test]
async fn a_watched_status_is_printed_again_and_outlives_the_server() {
    let server = Administered::start("server { listen LISTEN; return a; }").await;
    let mut watching = Command::new(env!("CARGO_BIN_EXE_nginx_like"))
        .args(["status", "--watch", "0.01", "--admin", &server.address()])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut shown = 0;
    within("two statuses", async {
        while shown < 2 {
            let line = lines.next_line().await.unwrap().expect("a further line");
            assert!(!line.contains('\u{1b}'), "{line}");
            shown += usize::from(line.starts_with("nginx_like "));
        }
    })
    .await;
    drop(server);
    within("the end of the server", async {
        while !lines
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .contains("cannot be reached")
        {}
    })
    .await;
    // The end of the reader ends the subcommand.
    drop(lines);
    let ended = within("the end", watching.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(3));
}

#[tokio::test]
async fn an_explanation_names_the_backend_that_the_client_then_gets() {
    let (one, two) = (Reserved::any(), Reserved::any());
    let (_one, _two) = (one.serve("one").await, two.serve("two").await);
    let stream = format!(
        "upstream u {{ hash $remote_addr consistent; server {}; server {}; }} server {{ listen LISTEN; proxy_pass u; }}",
        one.addr, two.addr
    );
    let server = Administered::start(&stream).await;
    let explain = ["explain", "--upstream", "u", "--client", "127.0.0.1"];
    let explained = server.ask(&explain).stdout(0);
    let chosen = match ask(server.proxy.addr).await.unwrap().as_str() {
        "one" => one.addr,
        _ => two.addr,
    };
    assert!(
        explained.starts_with(&format!("chosen: {chosen}\n")),
        "{explained}"
    );
    assert_eq!(
        cells(&explained, ">")[..3],
        [">", &*chosen.to_string(), "eligible"]
    );
    assert!(
        explained.contains(", hash key \"127.0.0.1\"\n"),
        "{explained}"
    );
    let keyless = server.ask(&["explain", "--upstream", "u"]).stdout(0);
    assert!(
        keyless.contains(", for a connection without a hash key"),
        "{keyless}"
    );
    assert_eq!(server.json(&explain)["chosen"], chosen.to_string());

    for backend in [one.addr, two.addr] {
        server.ask(&["drain", "u", &backend.to_string()]).stdout(0);
    }
    let explained = server.ask(&explain).stdout(1);
    assert!(explained.starts_with("chosen: none, "), "{explained}");
    assert_eq!(cells(&explained, &one.addr.to_string())[1], "draining");
    let wrong = server
        .ask(&["explain", "--upstream", "u", "--client", "x"])
        .stderr(2);
    assert!(wrong.contains("parameter \"client\" is \"x\""), "{wrong}");
    let unknown = server.ask(&["explain", "--upstream", "v"]).stderr(1);
    assert!(unknown.contains("there is no upstream \"v\""), "{unknown}");
}

#[tokio::test]
async fn an_explanation_names_the_check_that_failed_and_no_key_that_is_ignored() {
    let dead = Reserved::any();
    let stream = format!(
        "upstream u {{ server {}; }} server {{ listen LISTEN; proxy_pass u; health_check interval=20ms; }}",
        dead.addr
    );
    let server = Administered::start(&stream).await;
    let explain = ["explain", "--upstream", "u", "--client", "127.0.0.1"];
    let is_down = || server.ask(&explain).stdout.contains("unhealthy");
    eventually("a failed check", is_down).await;
    let explained = server.ask(&explain).stdout(1);
    let note = cells(&explained, &dead.addr.to_string())
        .pop()
        .unwrap()
        .to_owned();
    assert!(
        note.starts_with("check tcp down: ") && note.contains("refused"),
        "{explained}"
    );
    assert!(!explained.contains("key"), "{explained}");
}

#[tokio::test]
async fn an_explanation_follows_the_rules_of_the_listener() {
    let backend = Reserved::any();
    let stream = format!(
        "map $ssl_preread_server_name $to {{ a.test u; default v; }} upstream u {{ server {}; }} upstream v {{ server {}; }} \
         server {{ listen LISTEN; deny 10.0.0.0/8; ssl_preread on; proxy_pass $to; }}",
        backend.addr, backend.addr
    );
    let server = Administered::start(&stream).await;
    let listener = server.proxy.addr.to_string();
    let explain = |client: &str, sni: &str, code: i32| {
        let arguments = [
            "explain",
            "--listener",
            &listener,
            "--client",
            client,
            "--sni",
            sni,
        ];
        server.ask(&arguments).stdout(code)
    };
    let explained = explain("192.0.2.1", "a.test", 0);
    assert!(
        explained.starts_with(&format!("chosen: {}\nupstream: u, ", backend.addr)),
        "{explained}"
    );
    let explained = explain("192.0.2.1", "b.test", 0);
    assert!(explained.contains("\nupstream: v, "), "{explained}");
    let refused = explain("10.0.0.1", "a.test", 1);
    assert!(refused.starts_with("refused: "), "{refused}");
    let unknown = server
        .ask(&[
            "explain",
            "--listener",
            "127.0.0.1:1",
            "--client",
            "192.0.2.1",
        ])
        .stderr(1);
    assert!(
        unknown.contains("there is no listener \"127.0.0.1:1\""),
        "{unknown}"
    );
}

#[tokio::test]
async fn sessions_are_listed_by_filter_and_limit() {
    let backend = Reserved::any();
    let _backend = backend.serve("one").await;
    let stream = format!(
        "upstream u {{ server {}; }} server {{ listen LISTEN; proxy_pass u; }}",
        backend.addr
    );
    let server = Administered::start(&stream).await;
    assert_eq!(server.ask(&["sessions"]).stdout(0), "0 sessions\n");
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut conversation = Conversation::open(server.proxy.addr).await.unwrap();
        assert_eq!(conversation.say("hello").await.unwrap(), "one");
        open.push(conversation);
    }
    let listed = server.ask(&["sessions"]).stdout(0);
    assert!(listed.starts_with("3 sessions\n"), "{listed}");
    let backend = backend.addr.to_string();
    let row = cells(&listed, &backend);
    assert_eq!(
        (row[2], row[3], row[4]),
        (&*backend, "u", "relaying"),
        "{listed}"
    );
    let filters = [
        "sessions",
        "--upstream",
        "u",
        "--backend",
        &backend,
        "--client",
        "127.0.0.0/8",
        "--phase",
        "relaying",
        "--more-bytes-than",
        "1",
        "--order",
        "youngest",
        "--limit",
        "2",
        "--listener",
        &server.proxy.addr.to_string(),
    ];
    let listed = server.ask(&filters).stdout(0);
    assert!(listed.starts_with("2 of 3 sessions\n"), "{listed}");
    let listed = server.json(&filters);
    assert_eq!(listed["matched"], 3);
    let measured = server.ask(&["sessions", "--tcp"]).stdout(0);
    assert_eq!(
        cells(&measured, "RTT")[8..],
        ["RTT", "RETRANS"],
        "{measured}"
    );
    assert!(
        cells(&measured, &backend)[9].starts_with("0/"),
        "{measured}"
    );
    let id = listed["sessions"][0]["id"].to_string();
    assert_eq!(server.json(&["sessions", "--id", &id])["matched"], 1);
    assert_eq!(
        server.json(&["sessions", "--older-than", "1d"])["matched"],
        0
    );
    let wrong = server.ask(&["sessions", "--order", "x"]).stderr(2);
    assert!(
        wrong.contains("not oldest, youngest or most_bytes"),
        "{wrong}"
    );
}

#[tokio::test]
async fn the_configuration_that_runs_and_the_log_level_are_printed_and_set() {
    let server = Administered::start("server {\n\tlisten LISTEN;\n\treturn \"a b\";\n}").await;
    let config = server.ask(&["config"]).stdout(0);
    let conf = server.conf();
    assert!(
        config.starts_with(&format!("# {}\n", conf.display())),
        "{config}"
    );
    let listen = format!("listen {};", server.proxy.addr);
    let line = cells(&config, &listen);
    let text = std::fs::read_to_string(&conf).unwrap();
    let number = text
        .lines()
        .position(|line| line.contains(&listen))
        .unwrap()
        + 1;
    assert_eq!(line, [&*number.to_string(), &*listen]);
    assert!(server.json(&["config"])["lines"].as_array().unwrap().len() > 5);

    assert_eq!(server.ask(&["log-level"]).stdout(0), "info\n");
    assert_eq!(
        server.ask(&["log-level", "error"]).stdout(0),
        "error (before: info)\n"
    );
    let level = server.ask(&["log-level"]).stdout(0);
    assert!(level.starts_with("error (set by uid "), "{level}");
    assert!(
        server
            .ask(&["status"])
            .stdout(0)
            .contains(", log level error set by uid ")
    );
    assert_eq!(server.json(&["log-level", "default"])["level"], "info");
    let wrong = server.ask(&["log-level", "loud"]).stderr(2);
    assert!(
        wrong.contains("loud") && wrong.contains("notice"),
        "{wrong}"
    );
}
