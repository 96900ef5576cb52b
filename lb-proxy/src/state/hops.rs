//! Loop detection: connections that a proxy makes to its own listeners.
//!
//! A listener may pass connections to another listener of the same proxy. A backend that leads back to its own listener is
//! a configuration error: each session opens the next one, until all descriptors are in use, and the chain stays after the
//! client has left. Therefore the proxy counts the own listeners that a client passes through. The check costs one atomic
//! read for a backend that uses no listener's port.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use lb_core::Endpoint;
use tokio::time::Instant;

use crate::net::local::LocalAddresses;

/// How many own listeners in a row a client may pass through.
pub(crate) const MAX_HOPS: u8 = 16;

/// When a connection that was not accepted is forgotten. Longer than connections usually wait to be accepted.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Interval between two reads of the machine's addresses, while a backend uses a listener's port.
const READ_ADDRESSES_EVERY: Duration = Duration::from_secs(10);

/// How many connections under way are remembered.
const MAX_UNDER_WAY: usize = 1 << 16;

/// The own listeners, and the connections to them that no accept loop has accepted yet.
#[derive(Debug)]
pub(crate) struct HopTracker {
    /// A bit for each port that a listener has. Read without a lock.
    ports: Box<[AtomicU64]>,
    own: RwLock<OwnListeners>,
    /// Whether a session has needed the machine's addresses since they were read.
    asked: AtomicBool,
    under_way: Mutex<HashMap<SocketAddr, UnderWay>>,
    /// How many are under way. Read without the lock.
    count: AtomicUsize,
}

#[derive(Debug)]
struct OwnListeners {
    listeners: Vec<SocketAddr>,
    local: LocalAddresses,
    read_at: Instant,
}

/// A connection that one session has begun and no accept loop has accepted yet.
#[derive(Debug)]
struct UnderWay {
    hops: u8,
    begun: Instant,
}

impl HopTracker {
    pub(crate) fn new() -> Self {
        let words = (0..1 << 10).map(|_| AtomicU64::new(0));
        Self {
            ports: words.collect(),
            own: RwLock::new(OwnListeners {
                listeners: Vec::new(),
                local: LocalAddresses::default(),
                read_at: Instant::now(),
            }),
            asked: AtomicBool::new(false),
            under_way: Mutex::default(),
            count: AtomicUsize::new(0),
        }
    }

    /// Replaces the addresses of the own listeners.
    pub(crate) fn set_listeners(&self, listeners: Vec<SocketAddr>) {
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        own.listeners = listeners;
        own.read_addresses();
        for word in &self.ports {
            word.store(0, Relaxed);
        }
        for listener in &own.listeners {
            let (word, bit) = word_and_bit(listener.port());
            self.ports[word].fetch_or(bit, Relaxed);
        }
    }

    /// Whether a connection to `to` arrives at a listener of this proxy.
    pub(crate) fn leads_back(&self, to: SocketAddr) -> bool {
        let (word, bit) = word_and_bit(to.port());
        if self.ports[word].load(Relaxed) & bit == 0 {
            return false;
        }
        self.asked.store(true, Relaxed);
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let mut listeners = own.listeners.iter();
        listeners.any(|&listener| own.local.lead_to(listener, to))
    }

    /// Remembers a connection from the own address `from`, which is the `hops`th of its client.
    pub(crate) fn record(&self, from: SocketAddr, hops: u8) {
        let mut under_way = self.under_way();
        if under_way.len() < MAX_UNDER_WAY {
            let begun = Instant::now();
            under_way.insert(canonical(from), UnderWay { hops, begun });
            self.count.store(under_way.len(), Relaxed);
        }
    }

    /// How many own listeners the client has passed through before its connection from `peer` was accepted. 0 if the peer
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

    /// Forgets connections that were never accepted, and reads the machine's addresses again if a session needed
    /// them. Called every second.
    pub(crate) fn tidy(&self) {
        let now = Instant::now();
        if self.count.load(Relaxed) > 0 {
            let mut under_way = self.under_way();
            under_way.retain(|_, one| now - one.begun < FORGET_AFTER);
            self.count.store(under_way.len(), Relaxed);
        }
        if self.asked.load(Relaxed) {
            let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
            if now - own.read_at >= READ_ADDRESSES_EVERY {
                self.asked.store(false, Relaxed);
                own.read_addresses();
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

impl OwnListeners {
    /// If the kernel does not answer, only loopback addresses are known to be local.
    fn read_addresses(&mut self) {
        self.local = LocalAddresses::now().unwrap_or_default();
        self.read_at = Instant::now();
    }
}

/// Sockets of both families show an IPv4 peer as an IPv6 address.
fn canonical(addr: SocketAddr) -> SocketAddr {
    if Endpoint::is_unix_key(addr) {
        return addr;
    }
    (addr.ip().to_canonical(), addr.port()).into()
}

const fn word_and_bit(port: u16) -> (usize, u64) {
    ((port / 64) as usize, 1 << (port % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn own_listeners_are_those_of_the_last_call() {
        let hops = HopTracker::new();
        hops.set_listeners(["127.0.0.1:446", "0.0.0.0:447"].map(addr).to_vec());
        assert!(hops.leads_back(addr("127.0.0.1:446")) && hops.leads_back(addr("127.0.0.2:447")));
        assert!(!hops.leads_back(addr("127.0.0.2:446")) && !hops.leads_back(addr("127.0.0.1:448")));
        hops.set_listeners(vec![addr("127.0.0.1:450")]);
        assert!(!hops.leads_back(addr("127.0.0.1:446")));
        assert!(hops.leads_back(addr("127.0.0.1:450")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_taken_once_or_forgotten() {
        let hops = HopTracker::new();
        assert_eq!(hops.take(addr("127.0.0.1:5000")), 0);
        hops.record(addr("127.0.0.1:5000"), 3);
        hops.record(addr("127.0.0.1:5001"), 4);
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
