//! A process that accepts: its threads and its processor time are not those of the process under test, and it can be killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use lb_core::{Backend, Snapshot};
use lb_discovery::Static;
use lb_proxy::Upstream;
use lb_proxy::health::{CheckSettings, TcpCheck};

/// Set in the process that accepts.
const IS_PEER: &str = "LB_TEST_IS_PEER";

/// In front of the ports that the process prints.
const PORTS: &str = "PORTS ";

/// The process. Dropping it kills the process, as `kill -9` does.
pub(super) struct Peer {
    child: Child,
    /// Closes each connection, at all loopback addresses.
    pub(super) closing: u16,
    /// Sends back what it receives.
    pub(super) echoing: SocketAddr,
    /// Sends a byte to each connection, and keeps it open.
    pub(super) greeting: SocketAddr,
}

impl Peer {
    pub(super) fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "health::peer::the_process_that_accepts"])
            .args(["--ignored", "--nocapture"])
            .env(IS_PEER, "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = lines.map(Result::unwrap);
        let ports = said.find_map(|line| Some(line.split_once(PORTS)?.1.to_owned()));
        let ports = ports.unwrap();
        let mut ports = ports.split(' ').map(|port| port.parse().unwrap());
        Self {
            child,
            closing: ports.next().unwrap(),
            echoing: (Ipv4Addr::LOCALHOST, ports.next().unwrap()).into(),
            greeting: (Ipv4Addr::LOCALHOST, ports.next().unwrap()).into(),
        }
    }

    /// Ten thousand addresses at which it accepts.
    pub(super) fn addrs(&self) -> impl Iterator<Item = SocketAddr> + Clone {
        let port = self.closing;
        (0..10_000_u32).map(move |n| {
            let addr = Ipv4Addr::new(127, 1, (n / 250) as u8, (n % 250) as u8 + 1);
            (addr, port).into()
        })
    }

    /// Ten thousand backends with a check.
    pub(super) fn many(&self, interval: Duration) -> Upstream {
        let backends = self.addrs().map(Backend::new);
        Upstream::builder("many")
            .discovery(Static::new(Snapshot::from_backends(backends)))
            .health_check(TcpCheck::new(), CheckSettings::default().interval(interval))
            .build()
            .unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn accepting(serve: fn(std::net::TcpStream)) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
}

fn echo(mut stream: std::net::TcpStream) {
    thread::spawn(move || {
        stream.set_nodelay(true)?;
        std::io::copy(&mut stream.try_clone()?, &mut stream)
    });
}

fn greet(mut stream: std::net::TcpStream) {
    let _ = stream.write_all(b"p");
    thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
}

#[test]
#[ignore = "is the other process of tests"]
fn the_process_that_accepts() {
    if std::env::var_os(IS_PEER).is_none() {
        return;
    }
    let (closing, echoing, greeting) = (accepting(drop), accepting(echo), accepting(greet));
    let line = format!("\n{PORTS}{closing} {echoing} {greeting}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
    // The process under test closes it when it ends.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
