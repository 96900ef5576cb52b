//! The admin server over real sockets.

mod access;
mod control;
mod documents;
mod hostile;
mod panics;
mod readiness;
mod sessions;
mod status;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, Snapshot};
use lb_discovery::Static;
use lb_proxy::admin::{Admin, AdminListener, AdminServer, AdminSettings, ConfigLine};
use lb_proxy::{Listener, Proxy, Upstream};
use serde_json::Value;
use test_support::deadline::eventually;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, eager};
use test_support::sockets::loopback;
use tokio::io::AsyncReadExt;
use tokio::task::spawn_blocking;

const TOKEN: &str = "0123456789abcdef";
const OWN: &str = "X-Lb-Admin: 1\r\n";

/// A name that would be a script if a page showed it as HTML.
const MARKUP: &str = "<img src=x onerror=alert(1)>";

/// An answer of the admin server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends one request and reads to the end.
fn exchange(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n")
}

pub(crate) async fn unix(path: &Path, method: &str, target: &str) -> Answer {
    let request = request(method, target, &format!("host: x\r\n{OWN}"));
    let path = path.to_owned();
    let ask = move || exchange(UnixStream::connect(path).unwrap(), &request);
    spawn_blocking(ask).await.unwrap()
}

pub(crate) async fn tcp(addr: SocketAddr, method: &str, target: &str, headers: &str) -> Answer {
    let request = request(method, target, headers);
    let ask = move || exchange(TcpStream::connect(addr).unwrap(), &request);
    spawn_blocking(ask).await.unwrap()
}

/// A proxy in front of the backends "a" and "b", and an admin server.
struct AdminScene {
    proxy: RunningProxy,
    backends: [SocketAddr; 2],
    admin: AdminServer,
}

impl AdminScene {
    async fn new(settings: AdminSettings) -> Self {
        let backends = [listening("a").await, listening("b").await];
        let names = ["one", MARKUP];
        let snapshot: Snapshot = backends
            .into_iter()
            .zip(names)
            .map(|(addr, name)| Backend::new(addr).name(name))
            .collect();
        let upstream = Upstream::builder("pool")
            .discovery(Static::new(snapshot))
            .discovery_config(eager())
            .policy(WeightedRoundRobin::new())
            .build()
            .unwrap();
        let proxy = Proxy::builder()
            .listener(Listener::new(loopback(), &upstream))
            .track_sessions(true);
        let proxy = RunningProxy::run(proxy).await;
        let admin = Admin::builder(proxy.handle.clone())
            .program("test", "1.2.3")
            .config(|| vec![ConfigLine::new("a.conf", 1, "stream {")])
            .build();
        let listener = AdminListener::open(&settings).unwrap();
        eventually("the membership", || upstream.is_ready()).await;
        Self {
            proxy,
            backends,
            admin: admin.serve(listener),
        }
    }

    fn addr(&self) -> SocketAddr {
        self.admin.endpoint().key()
    }

    /// The names of the backends that the next sessions get.
    async fn backends_of(&self, sessions: usize) -> String {
        let mut names = String::new();
        for _ in 0..sessions {
            let mut client = self.proxy.connect().await;
            names.push(client.read_u8().await.unwrap().into());
        }
        names
    }

    async fn end(self) {
        self.admin.stop().await;
        self.proxy.end().await;
    }
}
