use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn link(index: u32, name: &str, is_up: bool) -> Message {
    Message::Link {
        index,
        name: name.into(),
        is_up,
    }
}

fn address(index: u32, text: &str, is_usable: bool) -> Message {
    Message::Address {
        index,
        ip: ip(text),
        is_usable,
    }
}

fn route(is_ipv6: bool) -> Message {
    Message::DefaultRoute {
        is_ipv6,
        is_new: true,
    }
}

fn facts(messages: impl IntoIterator<Item = Message>) -> Facts {
    let mut facts = Facts::default();
    messages.into_iter().for_each(|message| facts.add(message));
    facts
}

fn usual() -> Facts {
    facts([
        link(1, "lo", true),
        link(2, "eth0", true),
        address(2, "192.0.2.1", true),
        route(false),
    ])
}

fn link_part(name: &str) -> NetworkPart {
    NetworkPart::Link(name.into())
}

fn address_part(text: &str) -> NetworkPart {
    NetworkPart::Address(ip(text))
}

fn returned(part: NetworkPart, seconds: u32) -> NetworkEvent {
    NetworkEvent::Returned {
        part,
        lost_for: seconds * SECOND,
    }
}

fn events(state: &mut NetworkState) -> Vec<NetworkEvent> {
    std::iter::from_fn(|| state.next_event()).collect()
}

#[test]
fn a_link_that_is_lost_returns_after_a_time() {
    let now = Instant::now();
    let mut state = NetworkState::new(usual());
    assert!(
        state.take(link(2, "eth0", false), now),
        "routes went as well"
    );
    assert!(!state.take(link(2, "eth0", false), now), "no news");
    assert!(!state.take(link(2, "eth0", true), now + 3 * SECOND));
    let [lost, back] = [
        NetworkEvent::Lost(link_part("eth0")),
        returned(link_part("eth0"), 3),
    ];
    assert_eq!(events(&mut state), [lost.clone(), back.clone()]);
    // A device that is made anew has another index.
    state.take(Message::LinkGone { index: 2 }, now);
    state.take(link(9, "eth0", true), now + 3 * SECOND);
    assert_eq!(
        events(&mut state),
        [NetworkEvent::Lost(address_part("192.0.2.1")), lost, back]
    );
}

#[test]
fn what_was_never_lost_appears() {
    let now = Instant::now();
    let mut state = NetworkState::new(usual());
    state.take(link(3, "veth1", true), now);
    state.take(address(3, "192.0.2.7", true), now);
    assert_eq!(
        events(&mut state),
        [
            NetworkEvent::Appeared(link_part("veth1")),
            NetworkEvent::Appeared(address_part("192.0.2.7"))
        ]
    );
}

#[test]
fn an_address_is_lost_when_the_last_interface_gives_it_up() {
    let now = Instant::now();
    let mut state = NetworkState::new(usual());
    state.take(address(1, "192.0.2.1", true), now);
    state.take(address(2, "192.0.2.1", false), now);
    assert_eq!(events(&mut state), []);
    state.take(address(1, "192.0.2.1", false), now);
    // It is still being checked.
    state.take(address(2, "192.0.2.1", false), now);
    state.take(address(2, "192.0.2.1", true), now + SECOND);
    assert_eq!(
        events(&mut state),
        [
            NetworkEvent::Lost(address_part("192.0.2.1")),
            returned(address_part("192.0.2.1"), 1)
        ]
    );
}

#[test]
fn a_renamed_link_is_another_one() {
    let now = Instant::now();
    let mut state = NetworkState::new(usual());
    state.take(link(2, "wan", true), now);
    assert_eq!(
        events(&mut state),
        [
            NetworkEvent::Lost(link_part("eth0")),
            NetworkEvent::Appeared(link_part("wan"))
        ]
    );
}

#[test]
fn a_dump_tells_what_messages_do_not() {
    let now = Instant::now();
    let mut state = NetworkState::new(usual());
    assert!(state.take(route(false), now) && state.take(route(true), now));
    assert_eq!(events(&mut state), []);
    state.replace(facts([link(1, "lo", true), link(3, "eth1", true)]), now);
    assert_eq!(
        events(&mut state),
        [
            NetworkEvent::Lost(address_part("192.0.2.1")),
            NetworkEvent::Lost(NetworkPart::DefaultRouteV4),
            NetworkEvent::Lost(link_part("eth0")),
            NetworkEvent::Appeared(link_part("eth1")),
        ]
    );
    state.replace(usual(), now + 5 * SECOND);
    assert_eq!(
        events(&mut state),
        [
            NetworkEvent::Lost(link_part("eth1")),
            returned(address_part("192.0.2.1"), 5),
            returned(NetworkPart::DefaultRouteV4, 5),
            returned(link_part("eth0"), 5),
        ]
    );
    state.replace(usual(), now + 6 * SECOND);
    assert_eq!(events(&mut state), []);
}

#[test]
fn a_bounded_number_of_losses_is_remembered() {
    let now = Instant::now();
    let mut state = NetworkState::new(usual());
    for n in 0..=u32::try_from(MOST_LOST).unwrap() {
        let name = format!("veth{n}");
        state.take(link(n + 10, &name, true), now);
        state.take(Message::LinkGone { index: n + 10 }, now + n * SECOND);
    }
    assert_eq!(state.lost.len(), MOST_LOST);
    events(&mut state);
    state.take(link(10, "veth0", true), now);
    let oldest = NetworkEvent::Appeared(link_part("veth0"));
    assert_eq!(events(&mut state), [oldest]);
}
