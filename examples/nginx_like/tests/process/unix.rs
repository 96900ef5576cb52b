//! Unix domain sockets: listeners, servers, clients, and their files over reloads and signals.

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;

use crate::proxy::{NginxLike, tested, write_conf};
use crate::sockets::{Reserved, ask, eventually, within};

fn nginx_like() -> Command {
    Command::new(env!("CARGO_BIN_EXE_nginx_like"))
}

/// A server on a unix domain socket that answers each connection with `name`.
fn serve(path: &Path, name: &'static str) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client
                .write_all(format!("{name}: hello\n").as_bytes())
                .await;
            // Until the client has read it, so that its own bytes are not left unread.
            let _ = client.read_to_end(&mut Vec::new()).await;
        }
    });
}

/// The first `lines` lines that the server behind `path` answers to `said`, fewer if the connection is closed before.
async fn say(path: &Path, said: &str, lines: usize) -> String {
    let mut client = BufReader::new(UnixStream::connect(path).await.unwrap());
    let _ = client.write_all(said.as_bytes()).await;
    let mut answer = String::new();
    for _ in 0..lines {
        // A client that is refused sees an end or a reset.
        let _ = within("an answer", client.read_line(&mut answer)).await;
    }
    answer
}

fn at(dir: &tempfile::TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

#[tokio::test]
async fn listeners_and_servers_on_paths_are_served_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let [front, direct, a, b, dead] =
        ["front", "direct", "a", "b", "dead"].map(|name| at(&dir, name));
    serve(&a, "a");
    serve(&b, "b");
    let [f, d, a_, b_, x] = [&front, &direct, &a, &b, &dead].map(|path| path.display());
    let stream = format!(
        "upstream u {{ server unix:{a_} weight=2; server unix:{x}; server unix:{b_}; }}
         server {{ listen LISTEN; proxy_pass u; }}
         server {{ listen unix:{f}; proxy_pass u; }}
         server {{ listen unix:{d}; proxy_pass unix:{b_}; }}"
    );
    let proxy = NginxLike::start("worker_processes 2;", &stream).await;
    proxy.logged(&format!("unix:{d}")).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(ask(proxy.addr).await.unwrap());
    }
    for name in ["a", "b"] {
        assert!(answers.iter().any(|answer| answer == name), "{answers:?}");
    }
    for _ in 0..3 {
        assert!(say(&front, "", 1).await.ends_with(": hello\n"));
        assert_eq!(say(&direct, "", 1).await, "b: hello\n");
    }
    // The server that does not listen.
    proxy.logged(&format!("unix:{x}")).await;
    proxy.logged("No such file or directory").await;
    assert!(!proxy.log().contains("[fc"), "{}", proxy.log());
    let mode = std::fs::metadata(&front).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    proxy.signal(Signal::TERM);
    proxy.exit().await;
    assert!(!front.exists() && !direct.exists() && a.exists());
}

#[tokio::test]
async fn a_reload_keeps_adds_and_removes_files() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, back] = ["one", "two", "back"].map(|name| at(&dir, name));
    serve(&back, "back");
    let stream = |paths: &[&PathBuf]| {
        let server = |path: &&PathBuf| {
            let (path, back) = (path.display(), back.display());
            format!("server {{ listen unix:{path}; proxy_pass unix:{back}; }}")
        };
        let servers: String = paths.iter().map(server).collect();
        format!(
            "server {{ listen LISTEN; proxy_pass unix:{}; }} {servers}",
            back.display()
        )
    };
    let proxy = NginxLike::start("", &stream(&[&one])).await;
    eventually("the file", || one.exists()).await;
    let inode =
        |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(&one);
    proxy.reload("", &stream(&[&one, &two])).await;
    assert_eq!((inode(&one), two.exists()), (before, true));
    assert_eq!(say(&one, "", 1).await, "back: hello\n");
    assert_eq!(say(&two, "", 1).await, "back: hello\n");
    proxy.reload("", &stream(&[&two])).await;
    assert!(!one.exists());
    assert_eq!(say(&two, "", 1).await, "back: hello\n");
    let removed = format!("listeners.removed=[unix:{}]", one.display());
    assert!(proxy.log().contains(&removed), "{}", proxy.log());
    proxy.signal(Signal::QUIT);
    proxy.exit().await;
    assert!(!two.exists());
}

#[tokio::test]
async fn a_file_in_the_way_stops_the_start_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let stale = at(&dir, "stale");
    std::fs::write(&stale, "").unwrap();
    let text = format!(
        "error_log stderr info; events {{}} stream {{ server {{ listen unix:{}; proxy_pass 127.0.0.1:1; }} }}",
        stale.display()
    );
    let conf = write_conf(dir.path(), &text);
    let mut command = nginx_like();
    let output = command.arg("-c").arg(&conf).output();
    let output = within("the end", output).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let failed = format!(
        "bind() to unix:{} failed (98: Address already in use)",
        stale.display()
    );
    assert!(said.contains(&failed), "{said}");
    assert!(stale.exists());

    // As in nginx, the test of a configuration leaves no file, and a server may run already.
    let (output, said) = tested(nginx_like(), &conf).await;
    assert!(
        output.status.success() && !said.contains("bind()"),
        "{said}"
    );
    std::fs::remove_file(&stale).unwrap();
    let (output, _) = tested(nginx_like(), &conf).await;
    assert!(output.status.success() && !stale.exists());
    let missing = text.replace("stale", "missing/stale");
    let conf = write_conf(dir.path(), &missing);
    let (_, said) = tested(nginx_like(), &conf).await;
    assert!(
        said.contains("missing/stale failed (2: No such file or directory)"),
        "{said}"
    );
}

/// `allow` and `deny`, headers sent and received, and the variables of the addresses.
#[tokio::test]
async fn clients_on_paths_are_as_in_nginx() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["denied", "all", "allowed", "sends", "trusts", "doubts"];
    let [denied, all, allowed, sends, trusts, doubts] = names.map(|name| at(&dir, name));
    let echo = Reserved::any();
    let _echo = echo.serve("node").await;
    let to = echo.addr;
    let server = |path: &Path, rest: &str| {
        format!(
            "server {{ listen unix:{}{rest} proxy_pass {to}; }}\n",
            path.display()
        )
    };
    let header = "proxy_protocol on; proxy_pass";
    let with_header = |path: &Path, rest: &str| server(path, rest).replace("proxy_pass", header);
    let stream = [
        format!("server {{ listen LISTEN; proxy_pass {to}; }}\n"),
        server(&denied, "; deny unix:;"),
        server(&all, "; allow 127.0.0.1; deny all;"),
        server(&allowed, "; allow unix:; deny all;"),
        with_header(&sends, ";"),
        with_header(&trusts, " proxy_protocol; set_real_ip_from unix:;"),
        server(
            &doubts,
            " proxy_protocol; set_real_ip_from 127.0.0.1; deny 192.0.2.1;",
        ),
    ];
    let proxy = NginxLike::start("", &stream.concat()).await;
    proxy.logged(&format!("unix:{}", doubts.display())).await;
    assert_eq!(say(&denied, "x\n", 1).await, "");
    assert_eq!(say(&all, "x\n", 1).await, "");
    assert_eq!(say(&allowed, "x\n", 1).await, "node: x\n");
    let sent = "node: PROXY UNKNOWN\r\nnode: x\n";
    assert_eq!(say(&sends, "x\n", 2).await, sent);
    let received = "PROXY TCP4 192.0.2.1 198.51.100.2 1234 446\r\nx\n";
    // The server's own end is a path, so there is no valid header of the client that is believed.
    assert_eq!(say(&trusts, received, 2).await, sent);
    assert_eq!(say(&doubts, received, 1).await, "node: x\n");
    assert!(proxy.log().contains("unix:"), "{}", proxy.log());
}

#[tokio::test]
async fn a_socket_that_was_passed_on_is_served_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = at(&dir, "passed");
    let passed = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let echo = Reserved::any();
    let _echo = echo.serve("node").await;
    let stream = format!(
        "server {{ listen LISTEN; proxy_pass {to}; }}
         server {{ listen unix:{}; proxy_pass {to}; }}",
        path.display(),
        to = echo.addr
    );
    let mut command = Command::new("sh");
    // Descriptor 3 is the first that systemd passes on.
    let script = format!(
        "exec env LISTEN_PID=$$ LISTEN_FDS=1 {} \"$@\" 3<&0",
        env!("CARGO_BIN_EXE_nginx_like")
    );
    let stdin = std::os::fd::OwnedFd::from(passed.try_clone().unwrap());
    command.args(["-c", &script, "sh"]).stdin(stdin);
    let proxy = NginxLike::start_by(command, Reserved::any(), "", &stream).await;
    proxy.logged(&format!("unix:{}", path.display())).await;
    assert_eq!(say(&path, "x\n", 1).await, "node: x\n");
    proxy.reload("", &stream).await;
    assert_eq!(say(&path, "x\n", 1).await, "node: x\n");
    assert!(passed.as_raw_fd() > 0);
    proxy.signal(Signal::QUIT);
    proxy.exit().await;
    assert!(path.exists());
}

#[tokio::test]
async fn a_client_with_a_path_of_its_own_has_it_in_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let [front, own] = ["front", "own"].map(|name| at(&dir, name));
    let stream = format!(
        "server {{ listen LISTEN; return first; }}
         server {{ listen unix:{}; return \"$remote_addr|$remote_port|$server_port|$binary_remote_addr\"; }}",
        front.display()
    );
    let proxy = NginxLike::start("", &stream).await;
    proxy.logged(&format!("unix:{}", front.display())).await;
    for path in [Some(&own), None] {
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let client = client.unwrap();
        if let Some(path) = path {
            client
                .bind(&socket2::SockAddr::unix(path).unwrap())
                .unwrap();
        }
        client
            .connect(&socket2::SockAddr::unix(&front).unwrap())
            .unwrap();
        client.set_nonblocking(true).unwrap();
        let mut client = UnixStream::from_std(std::os::fd::OwnedFd::from(client).into()).unwrap();
        let mut text = String::new();
        within("the response", client.read_to_string(&mut text))
            .await
            .unwrap();
        let shown = path.map_or(String::new(), |path| path.display().to_string());
        assert_eq!(text, format!("unix:{shown}|||unix:{shown}"));
    }
}
