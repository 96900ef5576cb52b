//! The servers that `hash` picks, against recordings from nginx and, on request, a real nginx.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use tokio::net::TcpSocket;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::proxy::{NginxLike, write_conf};
use crate::sockets::{Conversation, Reserved, listens};

/// Recorded with `hash $remote_addr`, which depends on the order and the weights of servers, not on their addresses.
const RECORDED: &str = include_str!("../../../../lb-core/tests/golden/nginx_hash.txt");

const LETTERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const CLIENTS: usize = 100;

/// Servers that answer with their letters.
struct Servers {
    addrs: Vec<Reserved>,
    tasks: Vec<JoinHandle<()>>,
}

impl Servers {
    async fn start() -> Self {
        let addrs: Vec<_> = LETTERS.iter().map(|_| Reserved::any()).collect();
        let mut tasks = Vec::new();
        for (addr, letter) in addrs.iter().zip(LETTERS) {
            tasks.push(addr.serve(letter).await);
        }
        Self { addrs, tasks }
    }

    /// The stream block for servers such as `a=1 b=2`.
    fn stream(&self, method: &str, servers: &str) -> String {
        let servers = servers.split(' ').map(|server| {
            let (letter, weight) = server.split_once('=').unwrap();
            let i = LETTERS.iter().position(|known| *known == letter).unwrap();
            format!("server {} weight={weight};\n", self.addrs[i].addr)
        });
        let servers: String = servers.collect();
        format!(
            "upstream nodes {{ {method}\n{servers} }}
            server {{ listen LISTEN; proxy_pass nodes; }}"
        )
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The letters that the clients 127.77.0.1, 127.77.0.2, … get.
async fn answers(proxy: SocketAddr) -> String {
    let mut answers = String::new();
    for i in 1..=CLIENTS {
        let socket = TcpSocket::new_v4().unwrap();
        let client = Ipv4Addr::new(127, 77, 0, u8::try_from(i).unwrap());
        socket.bind((client, 0).into()).unwrap();
        let stream = socket.connect(proxy).await.unwrap();
        answers += &Conversation::over(stream).say("hello").await.unwrap();
    }
    answers
}

#[tokio::test]
async fn clients_get_the_servers_of_the_recordings() {
    let servers = Servers::start().await;
    let mut compared = 0;
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let (list, expected) = line.split_once(" | answers: ").unwrap();
        let list = list.strip_prefix("servers: ").unwrap();
        let plain = |server: &str| {
            let (name, weight) = server.split_once('=').unwrap();
            LETTERS.contains(&name) && weight.parse::<u16>().is_ok()
        };
        if !list.split(' ').all(plain) {
            continue;
        }
        let stream = servers.stream("hash $remote_addr;", list);
        let proxy = NginxLike::start("", &stream).await;
        assert_eq!(answers(proxy.addr).await, expected[..CLIENTS], "{list}");
        compared += 1;
    }
    assert!(compared >= 7);
}

#[tokio::test]
async fn a_key_without_the_client_has_one_server() {
    let servers = Servers::start().await;
    for key in ["$server_addr", "$server_port", "constant"] {
        for consistent in ["", "consistent"] {
            let method = format!("hash {key} {consistent};");
            let stream = servers.stream(&method, "a=1 b=1 c=1 d=1");
            let proxy = NginxLike::start("", &stream).await;
            let answers = answers(proxy.addr).await;
            assert_eq!(answers, answers[..1].repeat(CLIENTS), "{method}");
        }
    }
}

#[tokio::test]
async fn clients_get_the_servers_of_a_real_nginx() {
    let Some(nginx) = env::var_os("LB_TEST_NGINX") else {
        eprintln!("skipped: LB_TEST_NGINX does not name an nginx with a dynamic stream module");
        return;
    };
    let servers = Servers::start().await;
    for key in [
        "$remote_addr",
        "$binary_remote_addr",
        "a-${remote_addr}-$server_addr",
    ] {
        for consistent in ["", "consistent"] {
            let method = format!("hash {key} {consistent};");
            let stream = servers.stream(&method, "a=1 b=2 c=3 d=1 e=5");
            let dir = tempfile::tempdir().unwrap();
            let (theirs, _nginx, _reserved) = start_nginx(&nginx, dir.path(), &stream).await;
            let proxy = NginxLike::start("", &stream).await;
            assert_eq!(answers(proxy.addr).await, answers(theirs).await, "{method}");
        }
    }
}

/// The nginx that `LB_TEST_NGINX` names.
pub(crate) async fn start_nginx_if_asked(
    dir: &Path,
    stream: &str,
) -> Option<(SocketAddr, Child, Reserved)> {
    match env::var_os("LB_TEST_NGINX") {
        Some(nginx) => Some(start_nginx(&nginx, dir, stream).await),
        None => {
            eprintln!("skipped: LB_TEST_NGINX does not name an nginx to compare with");
            None
        }
    }
}

pub(crate) async fn start_nginx(
    nginx: &std::ffi::OsStr,
    dir: &Path,
    stream: &str,
) -> (SocketAddr, Child, Reserved) {
    let reserved = Reserved::any();
    let addr = reserved.addr;
    let stream = stream.replace("LISTEN", &addr.to_string());
    let text = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;
        daemon off; master_process off; pid {0}/pid; error_log {0}/log;
        events {{ }} stream {{ {stream} }}",
        dir.display()
    );
    let mut command = Command::new(nginx);
    command.arg("-p").arg(dir).arg("-e").arg(dir.join("log"));
    command.arg("-c").arg(write_conf(dir, &text));
    let command = command.stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    listens("nginx", addr).await;
    (addr, child, reserved)
}
