//! Limits for each client address, in bounded memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_core::Timestamp;

use super::rate::Rate;
use crate::clock::Clock;

/// How many parts the table has. Each has its own lock, so that workers rarely contend and a search for room stays short.
const SHARDS: usize = 16;

/// Counts the sessions and the rate of new connections of every client: of its address, or of another key
/// ([`Listener::limit_keys`](crate::Listener::limit_keys)).
///
/// Cloning gives another handle of the same counts. Listeners that share a zone count together, as with nginx's
/// `limit_conn_zone`.
///
/// The memory is bounded: a zone stores at most [`capacity`](ClientZoneBuilder::capacity) clients of at most 80 bytes each.
/// A client may be removed when it has no session and its bucket is full. A full zone evicts clients without a session,
/// which only gives them a full bucket. If every client in the zone has a session, the zone refuses further clients, as
/// nginx does.
///
/// A new session costs one lock of a sixteenth of the zone, and in a full zone a search of that sixteenth.
#[doc(alias = "limit_conn_zone")]
#[derive(Clone, Debug)]
pub struct ClientZone(Arc<Zone>);

#[derive(Debug)]
struct Zone {
    ipv4_prefix: u8,
    ipv6_prefix: u8,
    rate: Option<Rate>,
    clock: Clock,
    /// Of one shard.
    capacity: usize,
    hasher: RandomState,
    shards: [Mutex<HashMap<Key, Client>>; SHARDS],
}

/// The octets of an IPv6 address, or of the IPv6 address that an IPv4 address maps to, cut to the prefix. Or the hash of
/// another key, with secret seeds: two keys of the same hash would count together.
type Key = [u8; 16];

#[derive(Debug)]
struct Client {
    sessions: u32,
    /// When the token bucket of its rate is full.
    full_at: Timestamp,
}

/// Why a zone refuses a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClientRefusal {
    Rate,
    Sessions,
    ZoneFull,
}

impl ClientZone {
    /// Starts the description of a zone.
    pub fn builder() -> ClientZoneBuilder {
        ClientZoneBuilder {
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            capacity: 65536,
            rate: None,
        }
    }

    /// How many clients the zone knows. Locks each part of the zone in turn.
    pub fn len(&self) -> usize {
        let shards = self.0.shards.iter();
        shards.map(|shard| locked(shard).len()).sum()
    }

    /// Whether the zone knows no client.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both are one zone, not only equal ones.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Finds what is zero and must not be.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match &*self.0 {
            Zone { capacity: 0, .. } => Err("the capacity of a client zone"),
            zone => zone.rate.map_or(Ok(()), Rate::check),
        }
    }

    /// Counts a session of `ip`, unless `ip` has `sessions` already or exceeds its rate.
    pub(crate) fn acquire(&self, ip: IpAddr, sessions: u32) -> Result<ClientPermit, ClientRefusal> {
        self.acquire_at(self.0.key(ip), sessions, self.0.clock.now())
    }

    /// The same for a client that is known by `key`.
    pub(crate) fn acquire_key(
        &self,
        key: &[u8],
        sessions: u32,
    ) -> Result<ClientPermit, ClientRefusal> {
        self.acquire_at(self.0.hashed(key), sessions, self.0.clock.now())
    }

    fn acquire_at(
        &self,
        key: Key,
        sessions: u32,
        now: Timestamp,
    ) -> Result<ClientPermit, ClientRefusal> {
        let zone = &*self.0;
        let mut shard = locked(zone.shard(&key));
        if shard.len() >= zone.capacity && !shard.contains_key(&key) && !make_room(&mut shard, now)
        {
            return Err(ClientRefusal::ZoneFull);
        }
        let entry = shard.entry(key);
        let (open, full_at) = match &entry {
            Entry::Occupied(known) => (known.get().sessions, known.get().full_at),
            Entry::Vacant(_) => (0, Timestamp::default()),
        };
        if open >= sessions {
            return Err(ClientRefusal::Sessions);
        }
        let full_at = match zone.rate {
            Some(rate) => rate.take(full_at, now).map_err(|_| ClientRefusal::Rate)?,
            None => full_at,
        };
        entry.insert_entry(Client {
            sessions: open + 1,
            full_at,
        });
        Ok(ClientPermit {
            zone: self.clone(),
            key,
        })
    }
}

impl Zone {
    fn key(&self, ip: IpAddr) -> Key {
        let (bits, prefix) = match ip.to_canonical() {
            IpAddr::V4(ip) => (ip.to_ipv6_mapped().to_bits(), 96 + self.ipv4_prefix),
            IpAddr::V6(ip) => (ip.to_bits(), self.ipv6_prefix),
        };
        let behind = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        Ipv6Addr::from_bits(bits & !behind).octets()
    }

    fn hashed(&self, key: &[u8]) -> Key {
        let halves = [0_u8, 1].map(|half| self.hasher.hash_one((half, key)));
        let [low, high] = halves.map(u128::from);
        (high << 64 | low).to_be_bytes()
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Client>> {
        // The shards' tables hash with their own seeds, so any bits of this hash will do.
        let hash = self.hasher.hash_one(key);
        &self.shards[usize::from(hash.to_le_bytes()[0]) % SHARDS]
    }
}

/// No code that can panic runs under the lock, so a poisoned lock is consistent.
fn locked(shard: &Mutex<HashMap<Key, Client>>) -> MutexGuard<'_, HashMap<Key, Client>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Evicts the clients that have no session and a full bucket. Returns false if every client has a session.
///
/// If no such client exists, evicts of the clients without a session the one with the earliest full bucket.
fn make_room(shard: &mut HashMap<Key, Client>, now: Timestamp) -> bool {
    let before = shard.len();
    shard.retain(|_, client| client.sessions > 0 || client.full_at > now);
    if shard.len() < before {
        return true;
    }
    let idle = shard.iter().filter(|(_, client)| client.sessions == 0);
    let fullest = idle.min_by_key(|(_, client)| client.full_at);
    let Some(key) = fullest.map(|(key, _)| *key) else {
        return false;
    };
    shard.remove(&key).is_some()
}

/// A session that a zone counts until this is dropped.
#[derive(Debug)]
pub(crate) struct ClientPermit {
    zone: ClientZone,
    key: Key,
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        let zone = &*self.zone.0;
        let mut shard = locked(zone.shard(&self.key));
        let Entry::Occupied(mut client) = shard.entry(self.key) else {
            return;
        };
        client.get_mut().sessions -= 1;
        if client.get().sessions == 0 && zone.rate.is_none() {
            client.remove();
        }
    }
}

/// Describes a [`ClientZone`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ClientZoneBuilder {
    ipv4_prefix: u8,
    ipv6_prefix: u8,
    capacity: usize,
    rate: Option<Rate>,
}

impl ClientZoneBuilder {
    /// Sets how many leading bits of an IPv4 address make a client. Default: 32, every address. More means 32.
    pub fn ipv4_prefix(mut self, bits: u8) -> Self {
        self.ipv4_prefix = bits.min(32);
        self
    }

    /// Sets how many leading bits of an IPv6 address make a client. Default: 64, since a client that has one address of
    /// such a network usually has them all. More than 128 means 128.
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        self.ipv6_prefix = bits.min(128);
        self
    }

    /// Sets how many clients the zone can know, rounded up to a multiple of 16. Default: 65536, which take 5 MiB at
    /// the most. The `build` of a proxy with a listener that uses the zone refuses 0.
    pub fn capacity(mut self, clients: usize) -> Self {
        self.capacity = clients;
        self
    }

    /// Sets how fast each client may open new connections. Default: no limit.
    pub fn rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.rate = rate.into();
        self
    }

    /// Builds the zone. Allocates nothing for clients yet.
    pub fn build(self) -> ClientZone {
        ClientZone(Arc::new(Zone {
            ipv4_prefix: self.ipv4_prefix,
            ipv6_prefix: self.ipv6_prefix,
            rate: self.rate,
            clock: Clock::start(),
            capacity: self.capacity.div_ceil(SHARDS),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }))
    }
}

#[cfg(test)]
mod tests;
