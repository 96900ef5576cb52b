//! The present links, addresses and routes, and the events that a change of them makes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use tokio::time::Instant;

use super::event::{NetworkEvent, NetworkPart};
use super::message::Message;

/// How many lost parts are remembered, because their return is an event of its own. A machine with containers loses the links of
/// those for ever.
const MOST_LOST: usize = 256;

/// What the kernel last said.
#[derive(Debug, Default)]
pub(super) struct Facts {
    addresses: HashMap<IpAddr, HashSet<u32>>,
    has_default_route: [bool; 2],
    links: HashMap<u32, (Box<str>, bool)>,
}

impl Facts {
    /// Adds what a message of a dump says.
    pub(super) fn add(&mut self, message: Message) {
        if let Message::DefaultRoute { is_ipv6, is_new } = message {
            self.has_default_route[usize::from(is_ipv6)] |= is_new;
        } else {
            self.change(message);
        }
    }

    /// Changes what `message` says. Returns the parts that may come or go.
    fn change(&mut self, message: Message) -> Vec<NetworkPart> {
        match message {
            Message::Address {
                index,
                ip,
                is_usable,
            } => {
                let interfaces = self.addresses.entry(ip).or_default();
                if is_usable {
                    interfaces.insert(index);
                } else {
                    interfaces.remove(&index);
                }
                if interfaces.is_empty() {
                    self.addresses.remove(&ip);
                }
                vec![NetworkPart::Address(ip)]
            }
            // Others may be left: only a dump tells.
            Message::DefaultRoute { .. } => Vec::new(),
            Message::Link { index, name, is_up } => {
                let before = self.links.insert(index, (name.clone(), is_up));
                let renamed = before.filter(|(before, _)| *before != name);
                let names = renamed.map(|(before, _)| before).into_iter().chain([name]);
                names.map(NetworkPart::Link).collect()
            }
            Message::LinkGone { index } => {
                let gone = self.links.remove(&index);
                let mut parts: Vec<_> = self.remove_addresses(index);
                parts.extend(gone.map(|(name, _)| NetworkPart::Link(name)));
                parts
            }
        }
    }

    fn remove_addresses(&mut self, index: u32) -> Vec<NetworkPart> {
        let mut removed = Vec::new();
        self.addresses.retain(|ip, interfaces| {
            if interfaces.remove(&index) {
                removed.push(NetworkPart::Address(*ip));
            }
            !interfaces.is_empty()
        });
        removed
    }

    fn has(&self, part: &NetworkPart) -> bool {
        match part {
            NetworkPart::Address(ip) => self.addresses.contains_key(ip),
            NetworkPart::DefaultRouteV4 => self.has_default_route[0],
            NetworkPart::DefaultRouteV6 => self.has_default_route[1],
            NetworkPart::Link(name) => self.links.values().any(|(n, is_up)| n == name && *is_up),
        }
    }

    fn parts(&self) -> HashSet<NetworkPart> {
        let addresses = self.addresses.keys().map(|ip| NetworkPart::Address(*ip));
        let links = self.links.values().filter(|(_, is_up)| *is_up);
        let links = links.map(|(name, _)| NetworkPart::Link(name.clone()));
        let routes = [NetworkPart::DefaultRouteV4, NetworkPart::DefaultRouteV6];
        let routes = routes.into_iter().filter(|part| self.has(part));
        addresses.chain(links).chain(routes).collect()
    }
}

/// The parts that are there, and those that were lost.
#[derive(Debug)]
pub(super) struct NetworkState {
    facts: Facts,
    present: HashSet<NetworkPart>,
    lost: HashMap<NetworkPart, Instant>,
    events: VecDeque<NetworkEvent>,
}

impl NetworkState {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            present: facts.parts(),
            facts,
            lost: HashMap::new(),
            events: VecDeque::new(),
        }
    }

    /// The next event.
    pub(super) fn next_event(&mut self) -> Option<NetworkEvent> {
        self.events.pop_front()
    }

    /// Takes a message at `now`. Returns whether the default routes may have changed, which only a dump tells: IPv4 does not
    /// report the routes that it removes with a link or an address.
    pub(super) fn take(&mut self, message: Message, now: Instant) -> bool {
        let is_route = matches!(message, Message::DefaultRoute { .. });
        let parts = self.facts.change(message);
        let mut has_losses = false;
        for part in parts {
            has_losses |= self.settle(part, now);
        }
        let has_default_route = self.facts.has_default_route != [false; 2];
        is_route || (has_losses && has_default_route)
    }

    /// Replaces what is known by the result of a dump. Losses come first.
    pub(super) fn replace(&mut self, facts: Facts, now: Instant) {
        self.facts = facts;
        let after = self.facts.parts();
        let sorted = |parts: Vec<&NetworkPart>| {
            let mut parts: Vec<_> = parts.into_iter().cloned().collect();
            parts.sort_unstable();
            parts
        };
        let lost = sorted(self.present.difference(&after).collect());
        let new = sorted(after.difference(&self.present).collect());
        for part in lost.into_iter().chain(new) {
            self.settle(part, now);
        }
    }

    /// Adds an event if `part` came or went. Returns whether it went.
    fn settle(&mut self, part: NetworkPart, now: Instant) -> bool {
        let (was, is) = (self.present.contains(&part), self.facts.has(&part));
        match (was, is) {
            (false, true) => {
                self.present.insert(part.clone());
                let event = match self.lost.remove(&part) {
                    Some(since) => NetworkEvent::Returned {
                        part,
                        lost_for: now.saturating_duration_since(since),
                    },
                    None => NetworkEvent::Appeared(part),
                };
                self.events.push_back(event);
                false
            }
            (true, false) => {
                self.present.remove(&part);
                self.remember(part.clone(), now);
                self.events.push_back(NetworkEvent::Lost(part));
                true
            }
            _ => false,
        }
    }

    fn remember(&mut self, part: NetworkPart, now: Instant) {
        if self.lost.len() >= MOST_LOST {
            let oldest = self.lost.iter().min_by_key(|(_, since)| **since);
            let oldest = oldest.map(|(part, _)| part.clone());
            oldest.and_then(|part| self.lost.remove(&part));
        }
        self.lost.insert(part, now);
    }
}

#[cfg(test)]
mod tests;
