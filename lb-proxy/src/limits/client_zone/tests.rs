use std::time::Duration;

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_nanos(1_000_000_000);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn counts_sessions_by_client_and_forgets_clients_without_one() {
    let zone = ClientZone::builder().build();
    let acquire = |text| zone.acquire_at(zone.0.key(ip(text)), 2, START);
    let first = acquire("10.0.0.1").unwrap();
    let _second = acquire("::ffff:10.0.0.1").unwrap();
    assert_eq!(acquire("10.0.0.1").unwrap_err(), ClientRefusal::Sessions);
    let _other = acquire("10.0.0.2").unwrap();
    drop(first);
    let _again = acquire("10.0.0.1").unwrap();
    assert_eq!(zone.len(), 2);
    drop((_second, _other, _again));
    assert!(zone.is_empty());
}

#[test]
fn one_ipv6_network_is_one_client() {
    let zone = ClientZone::builder().build();
    let _held = zone
        .acquire_at(zone.0.key(ip("2001:db8::1")), 1, START)
        .unwrap();
    let same = zone.acquire_at(zone.0.key(ip("2001:db8::ffff:2")), 1, START);
    assert_eq!(same.unwrap_err(), ClientRefusal::Sessions);
    zone.acquire_at(zone.0.key(ip("2001:db8:0:1::1")), 1, START)
        .unwrap();
    let every = ClientZone::builder().ipv6_prefix(128).build();
    let _held = every
        .acquire_at(every.0.key(ip("2001:db8::1")), 1, START)
        .unwrap();
    every
        .acquire_at(every.0.key(ip("2001:db8::2")), 1, START)
        .unwrap();
}

#[test]
fn equal_keys_are_one_client() {
    let zone = ClientZone::builder().build();
    let first = zone.acquire_key(b"app.example.com", 1).unwrap();
    let same = zone.acquire_key(b"app.example.com", 1);
    assert_eq!(same.unwrap_err(), ClientRefusal::Sessions);
    let _other = zone.acquire_key(b"www.example.com", 1).unwrap();
    drop(first);
    zone.acquire_key(b"app.example.com", 1).unwrap();
    assert_eq!(zone.len(), 1);
}

#[test]
fn each_client_has_its_rate() {
    let rate = Rate::per_second(1);
    let zone = ClientZone::builder().rate(Some(rate)).build();
    let acquire = |text, now| zone.acquire_at(zone.0.key(ip(text)), u32::MAX, now);
    drop(acquire("10.0.0.1", START).unwrap());
    assert_eq!(acquire("10.0.0.1", START).unwrap_err(), ClientRefusal::Rate);
    acquire("10.0.0.2", START).unwrap();
    let later = START.saturating_add(Duration::from_secs(1));
    acquire("10.0.0.1", later).unwrap();
}

proptest! {
    /// With any sequence of clients, the zone never knows more than its capacity, never counts a session wrongly, and
    /// refuses for want of room only if every client that it knows has a session.
    #[test]
    fn stays_within_its_capacity(
        events in proptest::collection::vec((0_u8..80, any::<bool>(), 0_u64..3), 1..300),
    ) {
        let rate = Rate::per_second(2).burst(3);
        let zone = ClientZone::builder()
            .capacity(32)
            .rate(Some(rate))
            .build();
        let mut open: Vec<(u8, ClientPermit)> = Vec::new();
        let mut now = START;
        for (host, opens, seconds) in events {
            now = now.saturating_add(Duration::from_secs(seconds));
            let mine = open.iter().filter(|(other, _)| *other == host).count();
            if opens {
                match zone.acquire_at(zone.0.key(IpAddr::from([10, 0, 0, host])), 2, now) {
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
