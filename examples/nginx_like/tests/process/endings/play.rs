//! The clients and the servers of a case.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::Signal;
use test_support::client_hello::ClientHello;
use test_support::sockets::{BlackHole, refusing};
use test_support::streams::reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::case::Ending;
use crate::proxy::NginxLike;
use crate::sockets::{eventually, listen, within};

/// How long a client waits for its end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The servers that a case names.
pub(super) struct EndingServers {
    addrs: BTreeMap<String, SocketAddr>,
    accepted: Arc<AtomicUsize>,
    _refusing: Vec<socket2::Socket>,
    _holes: Vec<BlackHole>,
}

impl EndingServers {
    pub(super) async fn open(case: &Ending) -> Self {
        let mut servers = Self {
            addrs: BTreeMap::new(),
            accepted: Arc::default(),
            _refusing: Vec::new(),
            _holes: Vec::new(),
        };
        let text = format!("{} {}", case.stream, case.server);
        let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
        for name in text.split(|c| !is_of_name(c)) {
            if servers.addrs.contains_key(name) {
                continue;
            }
            let addr = if name.starts_with("REFUSING") {
                let (held, addr) = refusing();
                servers._refusing.push(held);
                addr
            } else if name.starts_with("BLACKHOLE") {
                let hole = tokio::task::spawn_blocking(BlackHole::open).await.unwrap();
                let addr = hole.addr;
                servers._holes.push(hole);
                addr
            } else if name == "BACKEND" || name.starts_with("GOOD") {
                let (listener, addr) = listen().await;
                tokio::spawn(serve(
                    listener,
                    case.backend.clone(),
                    servers.accepted.clone(),
                ));
                addr
            } else {
                continue;
            };
            servers.addrs.insert(name.to_owned(), addr);
        }
        servers
    }

    /// `text` with the addresses instead of the names.
    pub(super) fn name(&self, text: &str) -> String {
        let addrs = self.addrs.iter();
        addrs.fold(text.to_owned(), |text, (name, addr)| {
            text.replace(name, &addr.to_string())
        })
    }

    /// `log` with the names instead of the addresses.
    pub(super) fn names_in(&self, log: &str, listen: SocketAddr) -> String {
        let log = log.replace(&listen.to_string(), "LISTEN");
        let addrs = self.addrs.iter();
        addrs.fold(log, |log, (name, addr)| {
            log.replace(&addr.to_string(), name)
        })
    }
}

async fn serve(listener: TcpListener, steps: Vec<String>, accepted: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        accepted.fetch_add(1, Relaxed);
        let steps = steps.clone();
        tokio::spawn(async move {
            // A step fails if the session was ended before it.
            let _ = answer(stream, &steps).await;
        });
    }
}

async fn answer(mut stream: TcpStream, steps: &[String]) -> std::io::Result<()> {
    let mut received = Vec::new();
    for step in steps {
        let (verb, argument) = step.split_once(' ').unwrap_or((step, "0"));
        let number: usize = argument.parse().unwrap();
        match verb {
            "read" => {
                received = vec![0; number];
                stream.read_exact(&mut received).await?;
            }
            // How long the session takes, which its times must show.
            "take" => sleep(Duration::from_millis(number as u64)).await,
            "answer" => stream.write_all(b"answer").await?,
            "echo" => stream.write_all(&received).await?,
            "send" => stream.write_all(&vec![b'y'; number]).await?,
            "close" => return Ok(()),
            "reset" => {
                reset(stream);
                return Ok(());
            }
            "hold" => {
                stream.read_to_end(&mut received).await?;
            }
            other => panic!("{other}"),
        }
    }
    Ok(())
}

/// Plays the clients. Returns what they saw at their ends. `written` is the number of lines of the access log.
pub(super) async fn play(
    case: &Ending,
    servers: &EndingServers,
    proxy: &NginxLike,
    written: impl Fn() -> usize,
) -> Vec<String> {
    let mut clients: BTreeMap<&str, TcpStream> = BTreeMap::new();
    let mut saw = Vec::new();
    for step in &case.client {
        let (name, step) = match step.split_once(' ') {
            Some((name, rest)) if name.len() == 1 => (name, rest),
            _ => ("a", step.as_str()),
        };
        let (verb, argument) = step.split_once(' ').unwrap_or((step, ""));
        let number = || argument.parse::<usize>().unwrap();
        match verb {
            "accepted" => {
                let accepted = || servers.accepted.load(Relaxed) >= number();
                eventually("the backend's connection", accepted).await;
                continue;
            }
            "lines" => {
                eventually("lines of the access log", || written() >= number()).await;
                continue;
            }
            "signal" => {
                signal(proxy, argument).await;
                continue;
            }
            "logged" => {
                proxy.logged(argument).await;
                continue;
            }
            _ => {}
        }
        let mut client = match clients.remove(name) {
            Some(client) => client,
            None => TcpStream::connect(proxy.addr).await.unwrap(),
        };
        match verb {
            "connect" => {}
            // A server may have closed already.
            "send" => drop(client.write_all(&vec![b'x'; number()]).await),
            "text" => {
                let text = argument.replace("\\r\\n", "\r\n");
                drop(client.write_all(text.as_bytes()).await);
            }
            "hello" => drop(client.write_all(&hello()[..number()]).await),
            "shut" => client.shutdown().await.unwrap(),
            "read" => {
                let mut read = vec![0; number()];
                within("bytes", client.read_exact(&mut read)).await.unwrap();
            }
            "end" => {
                let mut rest = Vec::new();
                let ended = timeout(PATIENCE, client.read_to_end(&mut rest)).await;
                let how = match ended {
                    Ok(Ok(_)) => "FIN",
                    Ok(Err(_)) => "RST",
                    Err(_) => "none",
                };
                saw.push(format!("{} {how}", rest.len()));
                continue;
            }
            "close" => {
                drop(client);
                continue;
            }
            "reset" => {
                reset(client);
                continue;
            }
            other => panic!("{other}"),
        }
        clients.insert(name, client);
    }
    saw
}

/// Sends a signal and waits for its first effect.
async fn signal(proxy: &NginxLike, name: &str) {
    match name {
        "HUP" => {
            proxy.signal(Signal::HUP);
            proxy.logged("Configuration applied").await;
        }
        "QUIT" => {
            proxy.signal(Signal::QUIT);
            proxy.logged("SIGQUIT received").await;
        }
        "TERM" => proxy.signal(Signal::TERM),
        other => panic!("{other}"),
    }
}

/// A ClientHello of 517 bytes that asks for `a.example.com`.
fn hello() -> Vec<u8> {
    let hello = ClientHello {
        name: "a.example.com",
        len: 517,
        ..ClientHello::default()
    };
    hello.bytes()
}
