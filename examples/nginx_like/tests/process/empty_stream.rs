//! A `stream` block without a server, as a directory of included files has it at first.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::proxy::{NginxLike, tested, write_conf};
use crate::sockets::{Reserved, ask, eventually, within};

const WARNING: &str =
    "no \"server\" is inside \"stream\": nothing is served until a reload adds one";

#[tokio::test]
async fn a_reload_adds_the_first_server_and_removes_the_last_one() {
    let node = Reserved::any();
    let _node = node.serve("node").await;
    let server = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
    for workers in ["", "worker_processes 2;"] {
        let proxy = NginxLike::start(workers, &server).await;
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
        proxy.reload(workers, "").await;
        proxy.refused().await;
        assert!(proxy.log().contains(WARNING), "{}", proxy.log());
        proxy.reload(workers, &server).await;
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
        proxy.signal(Signal::QUIT);
        assert!(proxy.exit().await.success());
    }
}

#[tokio::test]
async fn a_process_without_a_server_starts_is_ready_and_answers_operators() {
    let dir = tempfile::tempdir().unwrap();
    let (ready, admin) = (dir.path().join("ready"), Reserved::any());
    let (node, listen) = (Reserved::any(), Reserved::any());
    let _node = node.serve("node").await;
    let text = |servers: &str| {
        format!(
            "error_log stderr info; pid {0}/pid; lb_ready_file {1};
            stream {{ lb_admin {2}; include {0}/streams-enabled/*.conf; {servers} }}",
            dir.path().display(),
            ready.display(),
            admin.addr,
        )
    };
    let conf = write_conf(dir.path(), &text(""));
    let program = env!("CARGO_BIN_EXE_nginx_like");
    let (output, said) = tested(Command::new(program), &conf).await;
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(WARNING) && said.contains("test is successful"),
        "{said}"
    );
    let mut serving = Command::new(program)
        .arg("-c")
        .arg(&conf)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let says = |content: &str| fs::read_to_string(&ready).is_ok_and(|found| found == content);
    eventually("readiness", || says("0\n")).await;
    let asked = Command::new(program)
        .args(["-c", conf.to_str().unwrap(), "status"])
        .output()
        .await
        .unwrap();
    let shown = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{asked:?}");
    assert!(shown.contains("ready"), "{shown}");
    let server = format!(
        "server {{ listen {}; proxy_pass {}; }}",
        listen.addr, node.addr
    );
    write_conf(dir.path(), &text(&server));
    let pid = i32::try_from(serving.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, Signal::HUP).unwrap();
    within("the first server", async {
        while TcpStream::connect(listen.addr).await.is_err() {}
    })
    .await;
    assert_eq!(ask(listen.addr).await.unwrap(), "node");
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let status = within("the exit", serving.wait()).await.unwrap();
    assert!(status.success());
    assert!(says("-254\n"));
}
