//! What a session and a round trip cost, in counts that other work on the machine does not change:
//! `cargo bench -p benches --bench sessions`.
//!
//! A session connects, sends 64 bytes, reads their echo, and ends its side; sessions come one after another. Printed are
//! instructions in user space and allocations (by valgrind(1)) and system calls (by strace(1)) of one session: the difference between
//! a run of N sessions and one of 2 N. Those of a round trip of 64 bytes are the difference to a run whose sessions have some more. A
//! tool that is missing is left out. A table of all proxies ends the output.
//!
//! The client pauses before each step. So the proxy has always gone idle before, and wakes up about as often in every run, more
//! than under load. A wake-up costs some 1100 instructions of the runtime, and how often two events meet in one differs from run
//! to run: the instructions in tokio's tasks do not contain it, and repeat within 100.
//!
//! The proxies are lb-proxy with one listener and one backend, as a process of its own, the bare loop of `load`, and nginx and HAProxy
//! where they are installed. `LB_BENCH_NGINX_LIKE`, `LB_BENCH_NGINX` and `LB_BENCH_HAPROXY` are paths of (other) binaries.
//! `--sessions N` sets N, 200 by default, and `--only NAME` leaves other proxies out.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod proxies;
mod table;
mod tools;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use proxies::{Proxy, ProxyKind, serve};
use table::Table;
use tools::{TOOLS, Tool};

/// Longer than the proxy takes for a step, under a tool and beside other work.
const PAUSE: Duration = Duration::from_millis(10);

/// The round trips that some sessions have beside the first one.
const MORE: u32 = 4;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [command, listen, backend] = &args[..]
        && command == "--serve"
    {
        return serve(listen.parse()?, backend.parse()?);
    }
    let (mut sessions, mut only) = (200, None);
    for (i, arg) in args.iter().enumerate() {
        match &**arg {
            "--test" => sessions = 20,
            "--sessions" => sessions = args.get(i + 1).ok_or("--sessions N")?.parse()?,
            "--only" => only = Some(args.get(i + 1).ok_or("--only NAME")?),
            _ => {}
        }
    }
    let backend = echo()?;
    let mut table = Table::default();
    for kind in ProxyKind::all() {
        if only.is_some_and(|only| *only != kind.name()) {
            continue;
        }
        println!("{}", kind.name());
        for tool in TOOLS.iter().filter(|tool| tool.is_installed()) {
            let few = run(&kind, tool, backend, (sessions, 1))?;
            let many = run(&kind, tool, backend, (2 * sessions, 1))?;
            let long = run(&kind, tool, backend, (sessions, 1 + MORE))?;
            let of_session = tool.each(&few, &many, sessions);
            let of_round_trip = tool.each(&few, &long, sessions * MORE);
            for (what, each) in [("session", of_session), ("round trip", of_round_trip)] {
                for (name, each) in each {
                    println!("  {each:9.1} {name} of a {what}");
                    table.add(kind.name(), &format!("{name} of a {what}"), each);
                }
            }
        }
    }
    println!("\n{table}");
    Ok(())
}

/// What `tool` writes about a proxy that serves this number of sessions of so many round trips.
fn run(
    kind: &ProxyKind,
    tool: &Tool,
    backend: SocketAddr,
    (sessions, round_trips): (u32, u32),
) -> Outcome<String> {
    let proxy = Proxy::start(kind, tool, backend)?;
    for _ in 0..sessions {
        session(proxy.addr, round_trips)?;
    }
    proxy.end(tool)
}

fn session(addr: SocketAddr, round_trips: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    let mut message = [7; 64];
    for _ in 0..round_trips {
        thread::sleep(PAUSE);
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
    }
    thread::sleep(PAUSE);
    stream.shutdown(Shutdown::Write)?;
    // The end, when the proxy has passed both on.
    match stream.read(&mut message)? {
        0 => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Starts an echo server, one connection at a time. Its port is none that the kernel chooses for others: a proxy asks for both
/// ends of a connection to such a port.
fn echo() -> Outcome<SocketAddr> {
    let mut ports = 19_000..20_000;
    let listener = ports.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    let listener = listener.ok_or("no free port")?;
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut message = [0; 64];
            while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {}
        }
    });
    Ok(addr)
}
