//! What a session costs, in counts that other work on the machine does not change: `cargo bench -p benches --bench sessions`.
//!
//! A session connects, sends 64 bytes, reads their echo, and ends its side; sessions come one after another. Printed are
//! instructions in user space and allocations (by valgrind(1)) and system calls (by strace(1)) of one session: the difference between
//! a run of N sessions and one of 2 N. A tool that is missing is left out.
//!
//! The client pauses before each step. So the proxy has always gone idle before, and wakes up about as often in every run, more
//! than under load. A wake-up costs some 1100 instructions of the runtime, and how often two events meet in one differs from run
//! to run: the instructions in tokio's tasks do not contain it, and repeat within 100.
//!
//! The proxy is lb-proxy with one listener and one backend, as a process of its own. With `LB_BENCH_NGINX_LIKE` or `LB_BENCH_NGINX`,
//! paths of binaries, the same is printed of these. `--sessions N` sets N, 200 by default.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod proxies;
mod tools;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use proxies::{Proxy, ProxyKind, serve};
use tools::{TOOLS, Tool};

/// Longer than the proxy takes for a step, under a tool and beside other work.
const PAUSE: Duration = Duration::from_millis(10);

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [command, listen, backend] = &args[..]
        && command == "--serve"
    {
        return serve(listen.parse()?, backend.parse()?);
    }
    let mut sessions = 200;
    for (i, arg) in args.iter().enumerate() {
        match &**arg {
            "--test" => sessions = 20,
            "--sessions" => sessions = args.get(i + 1).ok_or("--sessions N")?.parse()?,
            _ => {}
        }
    }
    let backend = echo()?;
    for kind in ProxyKind::all() {
        println!("{}", kind.name());
        for tool in TOOLS.iter().filter(|tool| tool.is_installed()) {
            let few = run(&kind, tool, backend, sessions)?;
            let many = run(&kind, tool, backend, 2 * sessions)?;
            for (name, each) in tool.each(&few, &many, sessions) {
                println!("  {each:9.1} {name}");
            }
        }
    }
    Ok(())
}

/// What `tool` writes about a proxy that serves this number of sessions.
fn run(kind: &ProxyKind, tool: &Tool, backend: SocketAddr, sessions: u32) -> Outcome<String> {
    let proxy = Proxy::start(kind, tool, backend)?;
    for _ in 0..sessions {
        session(proxy.addr)?;
    }
    proxy.end(tool)
}

fn session(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    let mut message = [7; 64];
    thread::sleep(PAUSE);
    stream.write_all(&message)?;
    stream.read_exact(&mut message)?;
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
