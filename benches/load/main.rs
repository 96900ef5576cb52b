//! The load, the backends and the bare loop of `python3 benches/compare`.
//!
//! Each is one thread over epoll(7), so that it costs little beside the proxy. It prints its figures as one line of JSON, and ends
//! with its parent.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod bulk;
mod hold;
mod poller;
mod relay;
mod requests;
mod serve;
mod socket;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::process::{set_parent_process_death_signal, test_kill_process};

/// The load, the backends and the bare loop of benches/compare.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Listens until its parent ends.
    Serve {
        #[arg(long, required = true, value_delimiter = ',')]
        addr: Vec<SocketAddrV4>,
        #[arg(long, value_enum, default_value = "echo")]
        mode: Mode,
    },
    /// Connections, each with one message and its echo.
    Rate {
        #[command(flatten)]
        load: Load,
        /// Waits for the end of the stream before it closes, instead of closing first.
        #[arg(long)]
        until_end: bool,
    },
    /// Messages and their echoes over connections that stay open.
    Rr {
        #[command(flatten)]
        load: Load,
    },
    /// Bytes from the backend.
    Down {
        #[command(flatten)]
        load: Load,
    },
    /// Bytes to the backend.
    Up {
        #[command(flatten)]
        load: Load,
    },
    /// Opens connections, prints how many, and holds them until its standard input ends.
    Hold {
        #[arg(long)]
        to: SocketAddrV4,
        #[arg(long)]
        count: usize,
        /// Takes the ports of this address in the kernel's order, from the one with the number `--skip`, and sends nothing. Otherwise
        /// each connection sends a byte and waits for its echo.
        #[arg(long)]
        from: Option<Ipv4Addr>,
        #[arg(long, default_value_t = 0)]
        skip: usize,
    },
    /// The bare loop: the fewest system calls of a proxy over epoll(7). It has no limits, time-outs or checks.
    Relay {
        #[arg(long)]
        listen: SocketAddrV4,
        #[arg(long, required = true, value_delimiter = ',')]
        to: Vec<SocketAddrV4>,
    },
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Load {
    /// The proxy.
    #[arg(long)]
    to: SocketAddrV4,
    /// Connections at a time.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// What a backend does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Mode {
    /// Sends back what it receives.
    Echo,
    /// The same once, and then closes first.
    Answer,
    /// Sends all the time.
    Source,
    /// Sends a byte, which shows that it is reached, and then only receives.
    Sink,
}

impl Load {
    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    end_with_parent()?;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;
    match args.role {
        Role::Serve { addr, mode } => serve::serve(&addr, mode),
        Role::Rate { load, until_end } => requests::rate(load, until_end),
        Role::Rr { load } => requests::round_trips(load),
        Role::Down { load } => bulk::bulk(load, false),
        Role::Up { load } => bulk::bulk(load, true),
        Role::Hold {
            to,
            count,
            from,
            skip,
        } => hold::hold(to, count, from.map(|from| (from, skip))),
        Role::Relay { listen, to } => relay::relay(listen, &to),
    }
}

fn end_with_parent() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before.
    match rustix::process::getppid() {
        Some(parent) if test_kill_process(parent).is_ok() => Ok(()),
        _ => Err(io::Error::other("the parent has ended")),
    }
}
