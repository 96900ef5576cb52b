//! `access_log`: where lines go, which sessions are logged, and logs that take no lines.

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::path::Path;

use rustix::process::Signal;

use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, ask, eventually};

/// Starts a proxy with a node, whose `server` block has `server` too. Names in it are below the returned directory.
async fn start(stream: &str, server: &str) -> (NginxLike, LogDir) {
    let node = Reserved::any();
    drop(node.serve("node").await);
    let dir = tempfile::tempdir().unwrap();
    let place = |text: &str| text.replace("DIR", dir.path().to_str().unwrap());
    let stream = format!(
        "log_format short '$status $bytes_sent'; {}
         server {{ listen LISTEN; proxy_pass {}; {} }}",
        place(stream),
        node.addr,
        place(server)
    );
    let proxy = NginxLike::start("", &stream).await;
    (proxy, LogDir { dir, _node: node })
}

/// Where the logs are, while the node's port stays its own.
struct LogDir {
    dir: tempfile::TempDir,
    _node: Reserved,
}

impl LogDir {
    fn path(&self) -> &Path {
        self.dir.path()
    }
}

async fn sessions(proxy: &NginxLike, count: usize) {
    for _ in 0..count {
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

async fn has_lines(path: &Path, count: usize) -> String {
    eventually("the lines", || text(path).lines().count() >= count).await;
    text(path)
}

#[tokio::test]
async fn lines_go_to_every_log_whose_condition_holds() {
    let logs = "access_log DIR/all short; access_log DIR/$server_port.log short;
        access_log DIR/none short if=0; access_log DIR/empty short if=$proxy_protocol_addr;
        access_log DIR/some short if=$status;
        log_format json escape=json '{\"status\":$status,\"name\":\"$proxy_protocol_addr\"}';
        access_log DIR/json json;";
    let (proxy, dir) = start(logs, "").await;
    sessions(&proxy, 3).await;
    let at = |name: &str| dir.path().join(name);
    for name in ["all", "some", &format!("{}.log", proxy.addr.port())] {
        let lines = has_lines(&at(name), 3).await;
        assert!(
            lines.lines().all(|line| line.starts_with("200 ")),
            "{lines}"
        );
    }
    let json = has_lines(&at("json"), 3).await;
    assert!(
        json.lines()
            .all(|line| line == r#"{"status":200,"name":""}"#),
        "{json}"
    );
    assert_eq!(text(&at("none")) + &text(&at("empty")), "");
}

#[tokio::test]
async fn a_session_that_lasts_is_logged_at_an_interval_and_at_its_end() {
    let logs = "access_log DIR/all lb_json interim=1s; access_log DIR/ends lb_json;
        access_log DIR/none lb_json interim=1s if=$proxy_protocol_addr;";
    let (proxy, dir) = start(logs, "").await;
    let at = |name: &str| dir.path().join(name);
    let mut conversation = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(conversation.say("hello").await.unwrap(), "node");
    let interim = has_lines(&at("all"), 2).await;
    for line in interim.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["event"], "progress", "{line}");
        assert_eq!(event["bytes_to_backend"], 6, "{line}");
        assert!(event["elapsed"].as_f64() >= Some(1.0), "{line}");
        assert!(event["reason"].is_null(), "{line}");
    }
    assert_eq!(text(&at("ends")), "");
    drop(conversation);
    let ends = has_lines(&at("ends"), 1).await;
    let all = || text(&at("all"));
    eventually("the end", || all().contains(r#""event":"close""#)).await;
    let session = |line: Option<&str>| -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(line.unwrap()).unwrap()["session"].clone()
    };
    let (all, last) = (all(), session(ends.lines().last()));
    assert!(all.lines().all(|line| session(Some(line)) == last), "{all}");
    assert_eq!((ends.lines().count(), &*text(&at("none"))), (1, ""));
}

#[tokio::test]
async fn a_server_inherits_logs_unless_it_has_its_own_or_none() {
    let (proxy, dir) = start("access_log DIR/outer short;", "access_log DIR/own short;").await;
    sessions(&proxy, 1).await;
    has_lines(&dir.path().join("own"), 1).await;
    assert_eq!(text(&dir.path().join("outer")), "");
    let (proxy, dir) = start("access_log DIR/outer short;", "access_log off;").await;
    sessions(&proxy, 1).await;
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    assert_eq!(text(&dir.path().join("outer")), "");
}

#[tokio::test]
async fn a_buffer_is_written_when_it_is_full_or_due_or_the_process_ends() {
    let logs =
        "access_log DIR/full short buffer=30; access_log DIR/due short buffer=1m flush=200ms;
        access_log DIR/end short buffer=1m; access_log DIR/packed short gzip=9;";
    let (proxy, dir) = start(logs, "").await;
    let at = |name: &str| dir.path().join(name);
    sessions(&proxy, 10).await;
    has_lines(&at("due"), 10).await;
    assert!(!text(&at("full")).is_empty());
    assert_eq!(text(&at("end")), "");
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    assert_eq!(text(&at("end")).lines().count(), 10);
    assert_eq!(text(&at("full")), text(&at("end")));
    let packed = fs::read(at("packed")).unwrap();
    let mut unpacked = String::new();
    let mut reader = flate2::read::MultiGzDecoder::new(&*packed);
    reader.read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, text(&at("end")));
}

#[tokio::test]
async fn sigusr1_moves_the_lines_to_a_new_file() {
    let (proxy, dir) = start("access_log DIR/log short;", "").await;
    let [log, old] = ["log", "old"].map(|name| dir.path().join(name));
    sessions(&proxy, 2).await;
    has_lines(&log, 2).await;
    fs::rename(&log, &old).unwrap();
    proxy.signal(Signal::USR1);
    proxy.logged("Log reopened").await;
    sessions(&proxy, 1).await;
    has_lines(&log, 1).await;
    assert_eq!(text(&old).lines().count(), 2);
}

#[tokio::test]
async fn sigusr1_reopens_the_log_that_only_a_session_from_before_a_reload_has() {
    let node = Reserved::any();
    drop(node.serve("node").await);
    let dir = tempfile::tempdir().unwrap();
    let [old, moved, new] = ["old", "moved", "new"].map(|name| dir.path().join(name));
    let stream = |log: &Path| {
        format!(
            "log_format short '$status'; access_log {} short;
            server {{ listen LISTEN; proxy_pass {}; }}",
            log.display(),
            node.addr
        )
    };
    let proxy = NginxLike::start("", &stream(&old)).await;
    let mut conversation = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(conversation.say("hello").await.unwrap(), "node");
    proxy.reload("", &stream(&new)).await;
    fs::rename(&old, &moved).unwrap();
    proxy.signal(Signal::USR1);
    let of_old = format!("Log reopened path={}", old.display());
    proxy.logged(&of_old).await;
    drop(conversation);
    assert_eq!(has_lines(&old, 1).await, "200\n");
    assert_eq!(text(&moved), "");
    sessions(&proxy, 1).await;
    has_lines(&new, 1).await;
    // Once nothing uses it, it is closed.
    proxy.signal(Signal::USR1);
    let of_new = format!("Log reopened path={}", new.display());
    eventually("the second time", || proxy.count(&of_new) == 2).await;
    assert_eq!(proxy.count(&of_old), 1);
}

#[tokio::test]
async fn a_syslog_server_that_is_not_there_is_reported_as_in_nginx() {
    let (proxy, dir) = start("access_log syslog:server=unix:DIR/none short;", "").await;
    sessions(&proxy, 1).await;
    let server = dir.path().join("none");
    proxy
        .logged(&format!(
            ": send() failed (2: No such file or directory) while logging to syslog, server: unix:{}",
            server.display()
        ))
        .await;
}

#[tokio::test]
async fn syslog_gets_lines_with_facility_severity_and_tag() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    let addr = server.local_addr().unwrap();
    let logs = format!(
        "access_log syslog:server={addr},facility=local3,severity=debug,tag=lb,nohostname short;
         error_log syslog:server={addr},facility=local3,tag=lb warn;"
    );
    let (proxy, _dir) = start(&logs, "deny all;").await;
    assert_eq!(ask(proxy.addr).await.unwrap_or_default(), "");
    let receive = move || {
        let mut messages = Vec::new();
        for _ in 0..2 {
            let mut buffer = [0; 2048];
            let length = server.recv(&mut buffer).unwrap();
            messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        messages.sort();
        messages
    };
    let messages = tokio::task::spawn_blocking(receive).await.unwrap();
    // 19 * 8 + 3 and 19 * 8 + 7.
    let [error, access] = &*messages else {
        panic!("{messages:?}")
    };
    assert!(
        error.starts_with("<155>") && error.contains(" lb: "),
        "{error}"
    );
    assert!(
        error.contains("[error]") && error.contains("access forbidden by rule"),
        "{error}"
    );
    assert!(
        access.starts_with("<159>") && access.ends_with(" lb: 403 0"),
        "{access}"
    );
}

#[tokio::test]
async fn a_log_that_takes_no_lines_costs_no_session_and_is_reported() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let logs = "access_log /dev/full short; access_log DIR/fifo long; access_log DIR/good short;
        access_log DIR/no/$protocol short;
        log_format long '$status LONG';";
    // A word of a configuration may have 4096 bytes.
    let long = format!("' '{}", "x".repeat(4000)).repeat(15);
    let logs = logs.replace("LONG", &long);
    // A FIFO that a process holds open and does not read.
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o644), 0).unwrap();
    let _reader = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let logs = logs.replace("DIR/fifo", fifo.to_str().unwrap());
    let (proxy, dir) = start(&logs, "").await;
    // More than the pipe, the queue and the thread hold.
    sessions(&proxy, 400).await;
    has_lines(&dir.path().join("good"), 400).await;
    proxy
        .logged("write() to \"/dev/full\" failed (28: No space left on device)")
        .await;
    let missing = dir.path().join("no/TCP");
    let missing = format!("open() \"{}\" failed (2: No such", missing.display());
    proxy.logged(&missing).await;
    proxy
        .logged("Log lines dropped, their reader or disk is too slow")
        .await;
    assert!(proxy.count("[alert]") >= 2);
    sessions(&proxy, 1).await;
}
