//! Sockets of the kernel's routing protocol.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::{AddressFamily as Family, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto,
    socket_with,
};

use super::message::{Message, messages};
use super::state::Facts;

/// Links, addresses of IPv4 and IPv6, routes of IPv4 and IPv6 (`RTMGRP_*` of `linux/rtnetlink.h`).
const GROUPS: u32 = 0x1 | 0x10 | 0x100 | 0x40 | 0x400;

/// The kernel fills so many bytes of an answer at once, and its reports are smaller.
const DATAGRAM: usize = 32 * 1024;

/// How long a dump waits for the next part of the answer. The kernel makes it during the system call.
const ANSWER: Duration = Duration::from_secs(5);

/// How often a dump is repeated if its objects change meanwhile. The messages about these changes follow in any case.
const DUMPS: usize = 4;

/// A socket that the kernel sends a message at every change. Non-blocking.
pub(super) fn subscribe() -> io::Result<OwnedFd> {
    let socket = open(SocketFlags::NONBLOCK)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket)
}

/// What is there now. Some system calls, and in proportion to the number of links, addresses and routes.
pub(super) fn dump() -> io::Result<Facts> {
    let socket = open(SocketFlags::empty())?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER))?;
    let mut buffer = vec![0; DATAGRAM];
    let mut facts = Facts::default();
    let mut sequence = 0;
    for request in requests() {
        for _ in 0..DUMPS {
            sequence += 1;
            let request = request_bytes(request.clone(), sequence);
            sendto(
                &socket,
                &request,
                SendFlags::empty(),
                &SocketAddrNetlink::new(0, 0),
            )?;
            if read_answer(&socket, &mut buffer, sequence, &mut facts)? {
                break;
            }
        }
    }
    Ok(facts)
}

/// A datagram of the kernel.
pub(super) enum Datagram {
    /// It has so many bytes.
    Read(usize),
    /// Messages are lost: there was no room in the socket or in the buffer.
    Overrun,
}

/// Reads a datagram into `buffer`, which grows for the next one if it was too small.
pub(super) fn receive(socket: &OwnedFd, buffer: &mut Vec<u8>) -> io::Result<Datagram> {
    let (_, length, from) = match recvfrom(socket, &mut buffer[..], RecvFlags::TRUNC) {
        Err(Errno::NOBUFS) => return Ok(Datagram::Overrun),
        received => received?,
    };
    if length > buffer.len() {
        buffer.resize(length.next_power_of_two(), 0);
        return Ok(Datagram::Overrun);
    }
    let kernel = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
    // Other programs of the superuser may send as well.
    let is_kernel = kernel.is_some_and(|from| from.pid() == 0);
    Ok(Datagram::Read(if is_kernel { length } else { 0 }))
}

fn open(flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    // Without a protocol it is that of routing.
    Ok(socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags,
        None,
    )?)
}

fn requests() -> Vec<RouteNetlinkMessage> {
    let routes = [Family::Inet, Family::Inet6].map(|family| {
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        RouteNetlinkMessage::GetRoute(route)
    });
    let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    [links, addresses].into_iter().chain(routes).collect()
}

fn request_bytes(request: RouteNetlinkMessage, sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Adds an answer to `facts`. False if something changed while the kernel made it.
fn read_answer(
    socket: &OwnedFd,
    buffer: &mut Vec<u8>,
    sequence: u32,
    facts: &mut Facts,
) -> io::Result<bool> {
    let mut is_consistent = true;
    loop {
        let length = match receive(socket, buffer)? {
            Datagram::Read(length) => length,
            Datagram::Overrun => {
                is_consistent = false;
                continue;
            }
        };
        let all = messages(&buffer[..length]);
        for message in all.filter(|message| message.sequence_number() == sequence) {
            is_consistent &= message.flags() & NLM_F_DUMP_INTR == 0;
            match message.message_type() {
                NLMSG_DONE | NLMSG_ERROR => {
                    return error_of(&message).map_or(Ok(is_consistent), Err);
                }
                _ => Message::read(&message)
                    .into_iter()
                    .for_each(|message| facts.add(message)),
            }
        }
    }
}

/// The error at the end of an answer, if there is one.
fn error_of(message: &NetlinkBuffer<&[u8]>) -> Option<io::Error> {
    let code = message.payload().first_chunk().copied();
    let code = code.map_or(0, i32::from_ne_bytes);
    (code != 0).then(|| io::Error::from_raw_os_error(code.saturating_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network_watch::state::NetworkState;
    use tokio::time::Instant;

    #[test]
    fn a_dump_finds_the_loopback_address() {
        let mut state = NetworkState::new(Facts::default());
        state.replace(dump().unwrap(), Instant::now());
        let events = std::iter::from_fn(|| state.next_event());
        let events: Vec<_> = events.map(|event| format!("{event:?}")).collect();
        let is_loopback = |event: &String| event.contains("127.0.0.1");
        assert!(events.iter().any(is_loopback), "{events:?}");
    }

    #[test]
    fn a_subscription_is_read_without_waiting() {
        let socket = subscribe().unwrap();
        let mut buffer = vec![0; DATAGRAM];
        loop {
            // Other tests may change something.
            match receive(&socket, &mut buffer) {
                Ok(_) => {}
                Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }
}
