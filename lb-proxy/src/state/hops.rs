//! Connections that a proxy makes to its own listeners.
//!
//! A listener that passes to another one of the same proxy is nothing unusual. A backend that leads back to the
//! listener that it serves is a mistake that never ends: each session connects to the next, until all places are
//! taken, or behind each other for ever if the client has left. So connections to own listeners are counted along
//! the way of a client. Sessions whose backend is elsewhere pay one atomic read for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::local::LocalAddresses;

/// So many own listeners in a row may a client pass through.
pub(crate) const MOST_HOPS: u8 = 16;

/// Longer than a connection waits to be accepted as a rule.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// How soon a new address of the machine is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// More connections under way are not remembered.
const MOST_UNDER_WAY: usize = 1 << 16;

/// Knows the own listeners and the connections to them that were not accepted yet.
#[derive(Debug)]
pub(crate) struct Hops {
    /// A bit for each port that a listener has, to be read without a lock.
    ports: Box<[AtomicU64]>,
    own: RwLock<Own>,
    /// Whether the machine's addresses have mattered since the last look at them.
    asked: AtomicBool,
    under_way: Mutex<HashMap<SocketAddr, UnderWay>>,
    /// How many are under way, to be read without the lock.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Own {
    listeners: Vec<SocketAddr>,
    local: LocalAddresses,
    looked_at: Instant,
}

/// A connection that one session has begun and no other has accepted yet.
#[derive(Debug)]
struct UnderWay {
    hops: u8,
    begun: Instant,
}

impl Hops {
    pub(crate) fn new() -> Self {
        let words = (0..1 << 10).map(|_| AtomicU64::new(0));
        Self {
            ports: words.collect(),
            own: RwLock::new(Own {
                listeners: Vec::new(),
                local: LocalAddresses::default(),
                looked_at: Instant::now(),
            }),
            asked: AtomicBool::new(false),
            under_way: Mutex::default(),
            count: AtomicUsize::new(0),
        }
    }

    /// The own listeners are those at `listeners` from now on.
    pub(crate) fn set_listeners(&self, listeners: Vec<SocketAddr>) {
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        own.listeners = listeners;
        own.look();
        for word in &self.ports {
            word.store(0, Relaxed);
        }
        for listener in &own.listeners {
            let (word, bit) = place(listener.port());
            self.ports[word].fetch_or(bit, Relaxed);
        }
    }

    /// Whether a connection to `to` comes back by a listener of this proxy.
    pub(crate) fn lead_back(&self, to: SocketAddr) -> bool {
        let (word, bit) = place(to.port());
        if self.ports[word].load(Relaxed) & bit == 0 {
            return false;
        }
        self.asked.store(true, Relaxed);
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let mut listeners = own.listeners.iter();
        listeners.any(|&listener| own.local.lead_to(listener, to))
    }

    /// A connection from the own address `from` is under way, as the `hops`th of a client.
    pub(crate) fn begin(&self, from: SocketAddr, hops: u8) {
        let mut under_way = self.under_way();
        if under_way.len() < MOST_UNDER_WAY {
            let begun = Instant::now();
            under_way.insert(canonical(from), UnderWay { hops, begun });
            self.count.store(under_way.len(), Relaxed);
        }
    }

    /// How many own listeners the client has passed through whose connection from `peer` was accepted; 0 if the peer
    /// is not this proxy.
    pub(crate) fn take(&self, peer: SocketAddr) -> u8 {
        if self.count.load(Relaxed) == 0 {
            return 0;
        }
        let mut under_way = self.under_way();
        let taken = under_way.remove(&canonical(peer));
        self.count.store(under_way.len(), Relaxed);
        taken.map_or(0, |taken| taken.hops)
    }

    /// Forgets what was never accepted, and looks at the machine's addresses if they matter. To be called every second
    /// or so.
    pub(crate) fn tidy(&self) {
        let now = Instant::now();
        if self.count.load(Relaxed) > 0 {
            let mut under_way = self.under_way();
            under_way.retain(|_, one| now - one.begun < FORGET_AFTER);
            self.count.store(under_way.len(), Relaxed);
        }
        if self.asked.load(Relaxed) {
            let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
            if now - own.looked_at >= LOOK_AGAIN {
                self.asked.store(false, Relaxed);
                own.look();
            }
        }
    }

    /// No code that can panic runs under the locks.
    fn under_way(&self) -> MutexGuard<'_, HashMap<SocketAddr, UnderWay>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    /// Without an answer of the kernel, loopback addresses are all that is known to be local.
    fn look(&mut self) {
        self.local = LocalAddresses::now().unwrap_or_default();
        self.looked_at = Instant::now();
    }
}

/// Sockets of both families show an IPv4 peer as an IPv6 address.
fn canonical(addr: SocketAddr) -> SocketAddr {
    (addr.ip().to_canonical(), addr.port()).into()
}

const fn place(port: u16) -> (usize, u64) {
    ((port / 64) as usize, 1 << (port % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn own_listeners_are_those_that_there_are_now() {
        let hops = Hops::new();
        hops.set_listeners(["127.0.0.1:446", "0.0.0.0:447"].map(addr).to_vec());
        assert!(hops.lead_back(addr("127.0.0.1:446")) && hops.lead_back(addr("127.0.0.2:447")));
        assert!(!hops.lead_back(addr("127.0.0.2:446")) && !hops.lead_back(addr("127.0.0.1:448")));
        hops.set_listeners(vec![addr("127.0.0.1:450")]);
        assert!(!hops.lead_back(addr("127.0.0.1:446")));
        assert!(hops.lead_back(addr("127.0.0.1:450")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_taken_once_or_forgotten() {
        let hops = Hops::new();
        assert_eq!(hops.take(addr("127.0.0.1:5000")), 0);
        hops.begin(addr("127.0.0.1:5000"), 3);
        hops.begin(addr("127.0.0.1:5001"), 4);
        assert_eq!(hops.take(addr("127.0.0.1:4999")), 0);
        assert_eq!(hops.take(addr("[::ffff:127.0.0.1]:5000")), 3);
        assert_eq!(hops.take(addr("127.0.0.1:5000")), 0);
        hops.tidy();
        assert_eq!(hops.count.load(Relaxed), 1);
        tokio::time::advance(FORGET_AFTER).await;
        hops.tidy();
        assert_eq!(hops.count.load(Relaxed), 0);
        assert_eq!(hops.take(addr("127.0.0.1:5001")), 0);
    }
}
