//! Connections with one message each, and messages over open connections.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use slab::Slab;

use super::Load;
use super::poller::{BOTH, Flags, Poller};
use super::socket::{ClientAddrs, Transfer, receive, send};

const MESSAGE: [u8; 64] = [7; 64];

/// What is before is not counted.
const WARM_UP: Duration = Duration::from_millis(300);

struct Client {
    socket: OwnedFd,
    /// Of the connection, or of the message.
    begin: Instant,
    received: usize,
    is_connected: bool,
}

struct Clients {
    to: SocketAddrV4,
    addrs: ClientAddrs,
    open: Slab<Client>,
    poller: Poller,
    warm: Instant,
    times: Vec<Duration>,
    /// With the warm-up.
    total: u64,
    errors: u64,
}

pub(crate) fn rate(load: Load, until_end: bool) -> io::Result<()> {
    run(load, |clients, key, now| {
        let received = clients.open[key].received;
        if received < MESSAGE.len() || until_end && received == MESSAGE.len() {
            return Ok(());
        }
        clients.note(key, now);
        clients.reopen(key)
    })
}

pub(crate) fn round_trips(load: Load) -> io::Result<()> {
    run(load, |clients, key, now| {
        if clients.open[key].received < MESSAGE.len() {
            return Ok(());
        }
        clients.note(key, now);
        let client = &mut clients.open[key];
        (client.received, client.begin) = (0, now);
        match send(&client.socket, &MESSAGE) {
            Transfer::Moved(64) => Ok(()),
            _ => clients.fail(key),
        }
    })
}

/// Runs the clients. `received` acts after each receive; an end after a whole message counts as one more byte.
fn run(
    load: Load,
    received: impl Fn(&mut Clients, usize, Instant) -> io::Result<()>,
) -> io::Result<()> {
    let begin = Instant::now();
    let mut clients = Clients {
        to: load.to,
        addrs: ClientAddrs::default(),
        open: Slab::new(),
        poller: Poller::new()?,
        warm: begin + WARM_UP,
        times: Vec::new(),
        total: 0,
        errors: 0,
    };
    for _ in 0..load.clients {
        clients.open()?;
    }
    let mut buffer = [0; 4096];
    while begin.elapsed() < load.length() {
        for index in 0..clients.poller.wait(Some(Duration::from_millis(50)))? {
            let (key, flags) = clients.poller.event(index);
            clients.advance(key, flags, &mut buffer, &received)?;
        }
    }
    clients.print();
    Ok(())
}

impl Clients {
    fn open(&mut self) -> io::Result<()> {
        let socket = self.addrs.connect(self.to)?;
        let entry = self.open.vacant_entry();
        self.poller.add(&socket, entry.key(), BOTH)?;
        entry.insert(Client {
            socket,
            begin: Instant::now(),
            received: 0,
            is_connected: false,
        });
        Ok(())
    }

    /// Ends a connection, and opens another one.
    fn reopen(&mut self, key: usize) -> io::Result<()> {
        self.open.remove(key);
        self.open()
    }

    fn fail(&mut self, key: usize) -> io::Result<()> {
        self.errors += 1;
        self.reopen(key)
    }

    fn note(&mut self, key: usize, now: Instant) {
        self.total += 1;
        if now > self.warm {
            self.times.push(now - self.open[key].begin);
        }
    }

    fn advance(
        &mut self,
        key: usize,
        flags: Flags,
        buffer: &mut [u8],
        received: impl Fn(&mut Self, usize, Instant) -> io::Result<()>,
    ) -> io::Result<()> {
        let client = &mut self.open[key];
        if !client.is_connected && flags.contains(Flags::OUT) {
            client.is_connected = true;
            if send(&client.socket, &MESSAGE) != Transfer::Moved(MESSAGE.len()) {
                return self.fail(key);
            }
        }
        if !flags.intersects(Flags::IN | Flags::HUP | Flags::ERR) {
            return Ok(());
        }
        // Two reads see the message and the end behind it.
        for _ in 0..2 {
            let client = &mut self.open[key];
            client.received += match receive(&client.socket, buffer) {
                Transfer::Blocked => return Ok(()),
                Transfer::Moved(len) => len,
                Transfer::Ended if client.received == MESSAGE.len() => 1,
                Transfer::Ended => return self.fail(key),
            };
            let before = client.begin;
            received(self, key, Instant::now())?;
            if self.open[key].begin != before || !flags.contains(Flags::RDHUP) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn print(&mut self) {
        let length = self.warm.elapsed().as_secs_f64();
        self.times.sort_unstable();
        let quantile = |share: f64| {
            let at = (self.times.len() as f64 * share) as usize;
            let time = self.times.get(at).copied().unwrap_or_default();
            time.as_secs_f64() * 1e6
        };
        let (count, total, errors) = (self.times.len(), self.total, self.errors);
        println!(
            "{{\"per_s\":{:.0},\"p50_us\":{:.0},\"p99_us\":{:.0},\"errors\":{errors},\"total\":{total},\"seconds\":{length:.3}}}",
            count as f64 / length,
            quantile(0.5),
            quantile(0.99),
        );
    }
}
