//! A process that accepts, so that its threads and its processor time are not those of the process under test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;

/// Set in the process that accepts.
const IS_PEER: &str = "LB_TEST_IS_PEER";

/// In front of the ports that the process prints.
const PORTS: &str = "PORTS ";

/// The process. Dropping it ends the process.
pub(super) struct Peer {
    child: Child,
    /// Closes each connection, at all loopback addresses.
    pub(super) closing: u16,
    /// Sends back what it receives.
    pub(super) echoing: SocketAddr,
}

impl Peer {
    pub(super) fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "health::cost::peer::the_process_that_accepts"])
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

#[test]
#[ignore = "is the other process of the tests that measure"]
fn the_process_that_accepts() {
    if std::env::var_os(IS_PEER).is_none() {
        return;
    }
    let (closing, echoing) = (accepting(drop), accepting(echo));
    let line = format!("\n{PORTS}{closing} {echoing}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
    // The process under test closes it when it ends.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
