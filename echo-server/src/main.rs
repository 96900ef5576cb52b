//! The `echo-server` binary: flags, signals, exit codes.

use std::future::Future;
use std::io::{self, Write};
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Parser;
use echo_server::{Hostname, listen, listen_on, serve_until};
use tokio::runtime::Runtime;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};

/// Answers every line with the host's name and the line.
///
/// Ends on SIGTERM and SIGINT with exit code 0, within a second.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address to listen on, and no other [default: all of IPv6 and IPv4]
    #[arg(long, value_name = "ADDR")]
    bind: Option<IpAddr>,

    /// Name that starts every answer [default: the machine's, as uname -n prints it]
    #[arg(long, value_name = "NAME")]
    hostname: Option<Hostname>,

    /// Port to listen on; 0 lets the system choose, and stderr names its choice
    #[arg(default_value_t = 446)]
    port: u16,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match Runtime::new().and_then(|runtime| runtime.block_on(run(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> io::Result<()> {
    // The handlers come first: without a handler, PID 1 of a container ignores these signals.
    let stop = stop_signal()?;
    let hostname = match args.hostname {
        Some(hostname) => hostname,
        None => Hostname::of_machine().map_err(io::Error::other)?,
    };
    let listener = match args.bind {
        Some(ip) => listen_on((ip, args.port).into()),
        None => listen(args.port),
    }
    .map_err(io::Error::other)?;
    log(&format!(
        "listening on {} as {hostname}",
        listener.local_addr()?
    ));
    serve_until(listener, hostname, stop).await;
    Ok(())
}

/// Completes on SIGTERM or SIGINT. The handlers are installed by the call.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn log(message: &str) {
    // `eprintln!` would panic when stderr is closed. A closed stderr cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "echo-server: {message}");
}
