//! Connections that stay open and idle.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_error;

use super::poller::{BOTH, Flags, Poller};
use super::socket::{ClientAddrs, Transfer, connect_from, receive, send};

/// The connections that are not yet open at a time.
const PENDING: usize = 128;

/// Without progress for so long the rest is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, and whether it is open.
type Held = Option<(OwnedFd, bool)>;

pub(crate) fn hold(
    to: SocketAddrV4,
    count: usize,
    from: Option<(Ipv4Addr, usize)>,
) -> io::Result<()> {
    let mut addrs = ClientAddrs::default();
    let mut ports = kernel_order()?.skip(from.map_or(0, |(_, skip)| skip));
    let mut poller = Poller::new()?;
    let mut held: Vec<Held> = Vec::new();
    let (mut open, mut failed) = (0, 0);
    let mut progress = Instant::now();
    while open + failed < count && progress.elapsed() < PATIENCE {
        while held.len() < count && held.len() - open - failed < PENDING {
            let socket = match from {
                None => addrs.connect(to),
                Some((from, _)) => {
                    let port = ports.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
                    connect_from(SocketAddrV4::new(from, port), to)
                }
            };
            let socket = socket.ok();
            match &socket {
                Some(socket) => poller.add(socket, held.len(), BOTH)?,
                None => failed += 1,
            }
            held.push(socket.map(|socket| (socket, false)));
        }
        for index in 0..poller.wait(Some(Duration::from_millis(50)))? {
            let (key, flags) = poller.event(index);
            let before = (open, failed);
            match held[key]
                .as_mut()
                .map(|one| step(one, flags, from.is_none()))
            {
                Some(Step::Opened) => open += 1,
                Some(Step::Failed) => {
                    failed += 1;
                    held[key] = None;
                }
                Some(Step::Waiting) | None => {}
            }
            if before != (open, failed) {
                progress = Instant::now();
            }
        }
    }
    println!("{{\"open\":{open},\"failed\":{failed}}}");
    // Ends with the standard input.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

enum Step {
    Opened,
    Failed,
    Waiting,
}

fn step((socket, is_open): &mut (OwnedFd, bool), flags: Flags, echo: bool) -> Step {
    if *is_open {
        return Step::Waiting;
    }
    if flags.intersects(Flags::ERR | Flags::HUP) || !matches!(socket_error(&*socket), Ok(Ok(()))) {
        return Step::Failed;
    }
    if !echo {
        *is_open = true;
        return Step::Opened;
    }
    match receive(&*socket, &mut [0; 8]) {
        Transfer::Moved(_) => {
            *is_open = true;
            Step::Opened
        }
        Transfer::Ended => Step::Failed,
        // Writable for the first time.
        Transfer::Blocked if flags.contains(Flags::OUT) => {
            send(&*socket, b"x");
            Step::Waiting
        }
        Transfer::Blocked => Step::Waiting,
    }
}

/// The ephemeral ports in the order in which connect(2) tries them: those of the lowest one's parity first.
fn kernel_order() -> io::Result<impl Iterator<Item = u16>> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut bounds = text.split_whitespace().map(str::parse);
    let (Some(Ok(low)), Some(Ok(high))) = (bounds.next(), bounds.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let half = move |first: u16| (first..=high).step_by(2);
    Ok(half(low).chain(half(low + 1)))
}
