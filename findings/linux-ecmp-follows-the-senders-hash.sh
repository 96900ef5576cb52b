#!/usr/bin/env bash
# Linux 6.18, a router with a multipath route and net.ipv4.fib_multipath_hash_policy=1 (addresses and ports), whose sender is
# on the same machine: a container, a network namespace, a laboratory.
#
# Belief:    The next hop of a connection depends on its addresses and ports alone, so all of its packets take one way.
# Behaviour: The router takes the hash that the sender's socket has left on the packet (skb->hash), and the socket draws a new one
#            for each retransmission. A lost packet moves the connection to another next hop, whose host does not know it. With
#            net.core.txrehash=0 at the sender the connections stay where they are.
# Output seen (the numbers vary; of 32 connections whose first packets nothing answers):
#   txrehash=1: 30 connections were seen at both next hops
#   txrehash=0: 0 connections were seen at both next hops
#
# Needs Linux, root, iproute2 and Python 3. Traffic stays in network namespaces. Fails if the behaviour changes.
set -euo pipefail
c=finding-$$-c
r=finding-$$-r
trap 'ip netns del "$c"; ip netns del "$r"' EXIT
ip netns add "$c"
ip netns add "$r"
ip -n "$c" link add eth0 type veth peer name client netns "$r"
ip -n "$c" addr add 192.0.2.1/24 dev eth0
ip -n "$c" link set eth0 up
ip -n "$r" addr add 192.0.2.254/24 dev client
ip -n "$r" link set client up
ip -n "$c" route add default via 192.0.2.254
ip netns exec "$r" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1
for hop in 1 2; do
    # A next hop that takes every packet and answers none.
    ip -n "$r" link add "hop$hop" type veth peer name "end$hop"
    ip -n "$r" addr add "198.51.$hop.254/24" dev "hop$hop"
    ip -n "$r" link set "hop$hop" up
    ip -n "$r" link set "end$hop" up
    ip -n "$r" neigh add "198.51.$hop.1" lladdr 02:00:00:00:00:01 dev "hop$hop"
done
ip -n "$r" route add 203.0.113.1 nexthop via 198.51.1.1 dev hop1 nexthop via 198.51.2.1 dev hop2

cat >"/tmp/$c.py" <<'PYTHON'
import collections, ctypes, socket, struct, subprocess, sys, time

CLIENT, ROUTER, NUMBER, SECONDS = sys.argv[1], sys.argv[2], 32, 7

def enter(namespace):
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None).setns(file.fileno(), 0x40000000) != 0:
            sys.exit(f"cannot enter {namespace}")

def moved(txrehash):
    """How many connections were seen at both next hops."""
    enter(ROUTER)
    taps = []
    for hop in ("hop1", "hop2"):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        tap.bind((hop, 3))
        tap.setblocking(False)
        taps.append(tap)
    enter(CLIENT)
    subprocess.run(["sysctl", "-qw", f"net.core.txrehash={txrehash}"], check=True)
    clients = []
    for _ in range(NUMBER):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("203.0.113.1", 446))
        clients.append(client)
    # The first packet of a connection is sent again after 1 s, 2 s, ...
    time.sleep(SECONDS)
    seen = collections.defaultdict(set)
    for index, tap in enumerate(taps):
        while True:
            try:
                packet, address = tap.recvfrom(2048)
            except BlockingIOError:
                break
            if packet[9:10] == b"\x06" and packet[16:20] == socket.inet_aton("203.0.113.1"):
                seen[struct.unpack("!H", packet[20:22])[0]].add(index)
    for socket_ in clients + taps:
        socket_.close()
    assert len(seen) == NUMBER, f"{len(seen)} of {NUMBER} connections were seen"
    return sum(len(hops) == 2 for hops in seen.values())

with_rehash, without = moved(1), moved(0)
print(f"txrehash=1: {with_rehash} connections were seen at both next hops")
print(f"txrehash=0: {without} connections were seen at both next hops")
if with_rehash < 8 or without:
    sys.exit("the behaviour has changed")
PYTHON
python3 "/tmp/$c.py" "$c" "$r" || status=$?
rm "/tmp/$c.py"
exit "${status:-0}"
