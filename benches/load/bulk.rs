//! Long transfers.

use std::io;
use std::time::{Duration, Instant};

use slab::Slab;

use super::Load;
use super::poller::{Flags, Poller};
use super::socket::{ClientAddrs, Transfer, receive, send};

const BUFFER: usize = 256 << 10;

pub(crate) fn bulk(load: Load, up: bool) -> io::Result<()> {
    let mut poller = Poller::new()?;
    let mut addrs = ClientAddrs::default();
    let mut sockets = Slab::new();
    for _ in 0..load.clients {
        let socket = addrs.connect(load.to)?;
        let entry = sockets.vacant_entry();
        let flags = if up { Flags::OUT } else { Flags::IN };
        poller.add(&socket, entry.key(), flags)?;
        entry.insert(socket);
    }
    let mut buffer = vec![7; BUFFER];
    let (mut bytes, mut errors) = (0_u64, 0_u64);
    let begin = Instant::now();
    while begin.elapsed() < load.length() && !sockets.is_empty() {
        for index in 0..poller.wait(Some(Duration::from_millis(50)))? {
            let (key, _) = poller.event(index);
            let Some(socket) = sockets.get(key) else {
                continue;
            };
            let moved = match up {
                true => send(socket, &buffer),
                false => receive(socket, &mut buffer),
            };
            match moved {
                Transfer::Moved(len) => bytes += len as u64,
                Transfer::Blocked => {}
                Transfer::Ended => {
                    errors += 1;
                    sockets.remove(key);
                }
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let rate = bytes as f64 / 1e9 / seconds;
    println!(
        "{{\"gb_s\":{rate:.3},\"bytes\":{bytes},\"errors\":{errors},\"seconds\":{seconds:.3}}}"
    );
    Ok(())
}
