//! Messages of the kernel's routing protocol: the few fields that matter.
//!
//! Headers and attributes are taken apart by `netlink-packet-route` and `netlink-packet-core`. Of a link only its header and its
//! name are read, because an attribute that a newer kernel adds or changes must not hide a link.

use std::net::IpAddr;

use netlink_packet_core::{NLMSG_ALIGNTO, NetlinkBuffer, NlasIterator, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_packet_route::route::{RouteHeader, RouteType};

/// Types of messages, from `linux/rtnetlink.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// From `linux/if_link.h`.
const IFLA_IFNAME: u16 = 3;

/// The length of `struct ifinfomsg`.
const LINK_HEADER: usize = 16;

/// What one message says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Message {
    /// An address of the interface with this index. It cannot be used while another machine may have it.
    Address {
        index: u32,
        ip: IpAddr,
        is_usable: bool,
    },
    /// A default route was added or removed. Others may be left.
    DefaultRoute { is_ipv6: bool, is_new: bool },
    /// The state of a link.
    Link {
        index: u32,
        name: Box<str>,
        is_up: bool,
    },
    /// The interface with this index does not exist any more.
    LinkGone { index: u32 },
}

/// The messages of a datagram, with their raw headers. Ends at the first one that is cut short.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        let length = message.length() as usize;
        rest = rest
            .get(length.next_multiple_of(NLMSG_ALIGNTO.into())..)
            .unwrap_or(&[]);
        Some(message)
    })
}

impl Message {
    /// What `message` says. `None` if it is about something else, or cannot be read.
    pub(super) fn read(message: &NetlinkBuffer<&[u8]>) -> Option<Self> {
        let payload = message.payload();
        match message.message_type() {
            kind @ (RTM_NEWLINK | RTM_DELLINK) => read_link(payload, kind == RTM_NEWLINK),
            kind @ (RTM_NEWADDR | RTM_DELADDR) => read_address(payload, kind == RTM_NEWADDR),
            kind @ (RTM_NEWROUTE | RTM_DELROUTE) => read_route(payload, kind == RTM_NEWROUTE),
            _ => None,
        }
    }
}

fn read_link(payload: &[u8], exists: bool) -> Option<Message> {
    let header = LinkHeader::parse(payload).ok()?;
    // A bridge reports a port that it gains or loses as a link of its own family.
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let index = header.index;
    if !exists {
        return Some(Message::LinkGone { index });
    }
    let attributes = NlasIterator::new(payload.get(LINK_HEADER..)?);
    let mut names = attributes.filter_map(Result::ok);
    let name = names.find(|attribute| attribute.kind() == IFLA_IFNAME)?;
    let name = String::from_utf8_lossy(name.value());
    Some(Message::Link {
        index,
        name: name.trim_end_matches('\0').into(),
        is_up: header.flags.contains(LinkFlags::Up | LinkFlags::Running),
    })
}

fn read_address(payload: &[u8], exists: bool) -> Option<Message> {
    let AddressMessage {
        header, attributes, ..
    } = AddressMessage::parse(payload).ok()?;
    let mut flags = AddressFlags::from_bits_retain(header.flags.bits().into());
    let (mut address, mut local) = (None, None);
    for attribute in attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(ip),
            // The own end of a point-to-point link, whose other end is the address.
            AddressAttribute::Local(ip) => local = Some(ip),
            AddressAttribute::Flags(all) => flags = all,
            _ => {}
        }
    }
    let is_tentative =
        flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
    Some(Message::Address {
        index: header.index,
        ip: local.or(address)?,
        is_usable: exists && !is_tentative && !flags.contains(AddressFlags::Dadfailed),
    })
}

fn read_route(payload: &[u8], is_new: bool) -> Option<Message> {
    let header = RouteHeader::parse(payload).ok()?;
    let is_default = header.destination_prefix_length == 0 && header.source_prefix_length == 0;
    // IPv6 has a default route that rejects everything.
    if !is_default || header.kind != RouteType::Unicast {
        return None;
    }
    let is_ipv6 = match header.address_family {
        AddressFamily::Inet => false,
        AddressFamily::Inet6 => true,
        _ => return None,
    };
    Some(Message::DefaultRoute { is_ipv6, is_new })
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::address::AddressHeaderFlags;
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};
    use netlink_packet_route::route::RouteMessage;

    use super::*;

    fn bytes(message: RouteNetlinkMessage) -> Vec<u8> {
        let payload = NetlinkPayload::from(message);
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len().next_multiple_of(NLMSG_ALIGNTO.into())];
        message.serialize(&mut bytes);
        bytes
    }

    fn read(datagram: &[u8]) -> Vec<Option<Message>> {
        messages(datagram)
            .map(|message| Message::read(&message))
            .collect()
    }

    fn link(name: &str, flags: LinkFlags, family: AddressFamily) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = 7;
        link.header.flags = flags;
        link.header.interface_family = family;
        // What the kernel sends before the name must not matter.
        link.attributes = vec![
            LinkAttribute::Mtu(1500),
            LinkAttribute::IfName(name.to_owned()),
        ];
        link
    }

    fn address(ip: &str, flags: AddressHeaderFlags) -> AddressMessage {
        let ip: IpAddr = ip.parse().unwrap();
        let mut message = AddressMessage::default();
        message.header.family = match ip {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.index = 7;
        message.header.flags = flags;
        message.attributes = vec![AddressAttribute::Address(ip)];
        message
    }

    #[test]
    fn a_link_is_up_if_it_is_switched_on_and_has_a_carrier() {
        let both = LinkFlags::Up | LinkFlags::Running;
        let is_up = |flags| {
            let message = link("eth0", flags, AddressFamily::Unspec);
            let read = read(&bytes(RouteNetlinkMessage::NewLink(message)));
            match &read[..] {
                [
                    Some(Message::Link {
                        index: 7,
                        name,
                        is_up,
                    }),
                ] if &**name == "eth0" => *is_up,
                other => panic!("{other:?}"),
            }
        };
        assert!(is_up(both | LinkFlags::Multicast));
        assert!(!is_up(LinkFlags::Up) && !is_up(LinkFlags::Running));
        let port = link("eth0", both, AddressFamily::Bridge);
        let gone = link("eth0", both, AddressFamily::Unspec);
        assert_eq!(
            read(
                &[
                    bytes(RouteNetlinkMessage::DelLink(port)),
                    bytes(RouteNetlinkMessage::DelLink(gone))
                ]
                .concat()
            ),
            [None, Some(Message::LinkGone { index: 7 })]
        );
    }

    #[test]
    fn an_address_is_usable_once_no_other_machine_has_it() {
        let empty = AddressHeaderFlags::empty();
        for (ip, flags, is_usable) in [
            ("192.0.2.1", empty, true),
            ("2001:db8::1", AddressHeaderFlags::Permanent, true),
            ("2001:db8::1", AddressHeaderFlags::Tentative, false),
            ("2001:db8::1", AddressHeaderFlags::Dadfailed, false),
            (
                "2001:db8::1",
                AddressHeaderFlags::Tentative | AddressHeaderFlags::Optimistic,
                true,
            ),
        ] {
            let new = bytes(RouteNetlinkMessage::NewAddress(address(ip, flags)));
            let gone = bytes(RouteNetlinkMessage::DelAddress(address(ip, flags)));
            let says = |is_usable| {
                Some(Message::Address {
                    index: 7,
                    ip: ip.parse().unwrap(),
                    is_usable,
                })
            };
            assert_eq!(read(&new), [says(is_usable)], "{ip} {flags:?}");
            assert_eq!(read(&gone), [says(false)], "{ip} {flags:?}");
        }
        let mut peer = address("192.0.2.9", empty);
        let own = "192.0.2.1".parse().unwrap();
        peer.attributes.push(AddressAttribute::Local(own));
        let found = read(&bytes(RouteNetlinkMessage::NewAddress(peer)));
        let is_own = matches!(found[..], [Some(Message::Address { ip, .. })] if ip == own);
        assert!(is_own, "{found:?}");
    }

    #[test]
    fn only_default_routes_that_lead_somewhere_count() {
        let route = |family, length, kind| {
            let mut route = RouteMessage::default();
            route.header.address_family = family;
            route.header.destination_prefix_length = length;
            route.header.kind = kind;
            bytes(RouteNetlinkMessage::NewRoute(route))
        };
        let (v4, v6) = (AddressFamily::Inet, AddressFamily::Inet6);
        let new = |is_ipv6| {
            Some(Message::DefaultRoute {
                is_ipv6,
                is_new: true,
            })
        };
        for (datagram, says) in [
            (route(v4, 0, RouteType::Unicast), new(false)),
            (route(v6, 0, RouteType::Unicast), new(true)),
            (route(v4, 24, RouteType::Unicast), None),
            (route(v6, 0, RouteType::Unreachable), None),
            (route(AddressFamily::Mpls, 0, RouteType::Unicast), None),
        ] {
            assert_eq!(read(&datagram), [says]);
        }
    }

    #[test]
    fn a_datagram_that_is_cut_short_yields_its_whole_messages() {
        let message = link("eth0", LinkFlags::Up, AddressFamily::Unspec);
        let one = bytes(RouteNetlinkMessage::NewLink(message));
        let two = [one.clone(), one.clone()].concat();
        for length in 0..two.len() {
            assert_eq!(read(&two[..length]).len(), length / one.len(), "{length}");
        }
        assert_eq!(read(&two).len(), 2);
        // Lengths that lie.
        for length in [0_u32, 15, u32::MAX] {
            let mut bad = one.clone();
            bad[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(read(&bad), []);
        }
    }
}
