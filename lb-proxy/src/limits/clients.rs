//! What each client may have, without remembering more clients than fit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_core::Timestamp;

use super::rate::Rate;
use crate::clock::Clock;

/// How many parts the table has, each under a lock of its own, so that workers seldom meet and a search for room stays
/// short.
const SHARDS: usize = 16;

/// Counts the sessions and the rate of new connections of every client address. Cloning gives another handle of the
/// same counts; listeners that share a zone count together, as with nginx's `limit_conn_zone`.
///
/// The memory is bounded: a zone knows no more than [`capacity`](ClientZoneBuilder::capacity) clients, each of which
/// takes at most 80 bytes. A client is forgotten when it has no session and its rate no longer matters. If the zone is
/// full, clients without a session are forgotten first, which only grants them a fresh rate; if every client in it has
/// a session, a further client is refused, as nginx does.
///
/// A look costs one lock of a sixteenth of the zone, and in a full zone a search of that sixteenth.
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

/// The octets of an IPv6 address, or of the IPv6 address that an IPv4 address maps to, cut to its prefix.
type Key = [u8; 16];

#[derive(Debug)]
struct Client {
    sessions: u32,
    /// When the bucket of its rate is full.
    full_at: Timestamp,
}

/// Why a client gets no further session.
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

    /// How many clients the zone knows now. Locks each part of it in turn.
    pub fn len(&self) -> usize {
        let shards = self.0.shards.iter();
        shards.map(|shard| locked(shard).len()).sum()
    }

    /// Whether the zone knows no client.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts a session of `ip` unless that would be more than `sessions`, or too soon.
    pub(crate) fn enter(
        &self,
        ip: IpAddr,
        sessions: NonZeroU32,
    ) -> Result<ClientPermit, ClientRefusal> {
        self.enter_at(ip, sessions, self.0.clock.now())
    }

    fn enter_at(
        &self,
        ip: IpAddr,
        sessions: NonZeroU32,
        now: Timestamp,
    ) -> Result<ClientPermit, ClientRefusal> {
        let zone = &*self.0;
        let key = zone.key(ip);
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
        if open >= sessions.get() {
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

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Client>> {
        // The tables take the low bits of a hash of their own seeds, so any bits of this one will do.
        let hash = self.hasher.hash_one(key);
        &self.shards[usize::from(hash.to_le_bytes()[0]) % SHARDS]
    }
}

/// No code that can panic runs under the lock, so a poisoned one is as good as any.
fn locked(shard: &Mutex<HashMap<Key, Client>>) -> MutexGuard<'_, HashMap<Key, Client>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets those who no longer matter, or else the one without a session whose bucket is the fullest.
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

/// A session that a zone counts; dropping it ends that.
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

    /// Sets how many leading bits of an IPv6 address make a client. Default: 64, since whoever has one address of such
    /// a network usually has them all. More than 128 means 128.
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        self.ipv6_prefix = bits.min(128);
        self
    }

    /// Sets how many clients the zone can know, rounded up to a multiple of 16. Default: 65536, which take 5 MiB at
    /// the most.
    pub fn capacity(mut self, clients: NonZeroUsize) -> Self {
        self.capacity = clients.get();
        self
    }

    /// Sets how fast each client may open new connections. Default: no limit.
    pub fn rate(mut self, rate: Option<Rate>) -> Self {
        self.rate = rate;
        self
    }

    /// Makes the zone.
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
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_nanos(1_000_000_000);

    fn some(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn counts_sessions_by_client_and_forgets_who_has_none() {
        let zone = ClientZone::builder().build();
        let enter = |text| zone.enter_at(ip(text), some(2), START);
        let first = enter("10.0.0.1").unwrap();
        let _second = enter("::ffff:10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").unwrap_err(), ClientRefusal::Sessions);
        let _other = enter("10.0.0.2").unwrap();
        drop(first);
        let _again = enter("10.0.0.1").unwrap();
        assert_eq!(zone.len(), 2);
        drop((_second, _other, _again));
        assert!(zone.is_empty());
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        let zone = ClientZone::builder().build();
        let _held = zone.enter_at(ip("2001:db8::1"), some(1), START).unwrap();
        let same = zone.enter_at(ip("2001:db8::ffff:2"), some(1), START);
        assert_eq!(same.unwrap_err(), ClientRefusal::Sessions);
        zone.enter_at(ip("2001:db8:0:1::1"), some(1), START)
            .unwrap();
        let every = ClientZone::builder().ipv6_prefix(128).build();
        let _held = every.enter_at(ip("2001:db8::1"), some(1), START).unwrap();
        every.enter_at(ip("2001:db8::2"), some(1), START).unwrap();
    }

    #[test]
    fn each_client_has_its_rate() {
        let rate = Rate::per_second(some(1));
        let zone = ClientZone::builder().rate(Some(rate)).build();
        let enter = |text, now| zone.enter_at(ip(text), NonZeroU32::MAX, now);
        drop(enter("10.0.0.1", START).unwrap());
        assert_eq!(enter("10.0.0.1", START).unwrap_err(), ClientRefusal::Rate);
        enter("10.0.0.2", START).unwrap();
        let later = START.saturating_add(Duration::from_secs(1));
        enter("10.0.0.1", later).unwrap();
    }

    proptest! {
        /// Whoever comes, the zone never knows more than its capacity, never counts a session wrongly, and refuses for
        /// want of room only if every client it knows has a session.
        #[test]
        fn stays_within_its_capacity(
            events in proptest::collection::vec((0_u8..80, any::<bool>(), 0_u64..3), 1..300),
        ) {
            let rate = Rate::per_second(some(2)).burst(some(3));
            let zone = ClientZone::builder()
                .capacity(NonZeroUsize::new(32).unwrap())
                .rate(Some(rate))
                .build();
            let mut open: Vec<(u8, ClientPermit)> = Vec::new();
            let mut now = START;
            for (host, enters, seconds) in events {
                now = now.saturating_add(Duration::from_secs(seconds));
                let mine = open.iter().filter(|(other, _)| *other == host).count();
                if enters {
                    match zone.enter_at(IpAddr::from([10, 0, 0, host]), some(2), now) {
                        Ok(permit) => {
                            prop_assert!(mine < 2);
                            open.push((host, permit));
                        }
                        Err(ClientRefusal::Sessions) => prop_assert_eq!(mine, 2),
                        Err(ClientRefusal::Rate) => {}
                        // Two places in each of the sixteen parts.
                        Err(ClientRefusal::ZoneFull) => prop_assert!(mine == 0 && open.len() >= 2),
                    }
                } else if let Some(i) = open.iter().position(|(other, _)| *other == host) {
                    open.swap_remove(i);
                }
                prop_assert!(zone.len() <= 32);
            }
        }
    }
}
