#!/usr/bin/env bash
# BIRD 2.0.12 (Debian 12: bird2 2.0.12-7), BGP with BFD of 3 x 50 ms, whose process is paused for 0.3 s, as by a busy machine.
#
# Belief:    A pause of the process that BFD notices costs a reconnect: `connect retry time 1` and `connect delay time 1` bring
#            the route back after a second.
# Behaviour: Each lost session doubles the time before the next attempt, up to the second number of `error wait time` (5 minutes by
#            default), and both sides wait. The route is away for many times the pause.
# Output seen:
#   error wait time 1, 5: the route is away for up to 11.9 s
#   error wait time 1, 1: the route is away for up to 5.3 s
#
# Needs Linux, root, iproute2 and Debian's bird2. Traffic stays in network namespaces. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
near=finding-$$-near far=finding-$$-far
trap 'ip netns del $near; ip netns del $far; rm -rf "$dir"' EXIT
ip netns add $near
ip netns add $far
ip -n $near link add eth0 type veth peer name eth0 netns $far
number=1
for namespace in $near $far; do
    ip -n $namespace addr add 198.51.100.$number/24 dev eth0
    ip -n $namespace link set eth0 up
    number=$((number + 1))
done

configure() { # NUMBER PEER ERROR_WAIT IMPORT
    cat <<CONF
router id 198.51.100.$1;
protocol device {}
protocol static { ipv4; route 192.0.2.$1/32 blackhole; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol bfd { interface "*" { min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }; }
protocol bgp peer {
    local 198.51.100.$1 as 6451$1;
    neighbor 198.51.100.$2 as 6451$2;
    bfd on;
    connect retry time 1;
    connect delay time 1;
    error wait time $3;
    ipv4 { import all; export where source = RTS_STATIC; };
}
CONF
}
has_route() { ip -n $near route show 192.0.2.2 | grep -q via; }
is_watched() { birdc -s "$dir/near.ctl" show bfd sessions | grep -q ' Up '; }
now() { date +%s%3N; }

# Prints the longest time without the route, in milliseconds.
longest_of_pauses() { # ERROR_WAIT
    local away longest=0 lost began
    # In the subshell of a command substitution, which has no other trap.
    trap 'kill -KILL $first $second 2>/dev/null || true' EXIT
    configure 1 2 "$1" >"$dir/near.conf"
    configure 2 1 "$1" >"$dir/far.conf"
    ip netns exec $near bird -f -c "$dir/near.conf" -s "$dir/near.ctl" -P "$dir/near.pid" 2>"$dir/near.log" &
    first=$!
    ip netns exec $far bird -f -c "$dir/far.conf" -s "$dir/far.ctl" -P "$dir/far.pid" 2>"$dir/far.log" &
    second=$!
    for _ in 1 2 3 4; do
        until has_route && is_watched; do sleep 0.05; done
        began=$(now)
        kill -STOP $second
        sleep 0.3
        kill -CONT $second
        lost=
        until [ -n "$lost" ] && has_route || [ $(($(now) - began)) -gt 20000 ]; do
            has_route || lost=yes
        done
        away=$(($(now) - began))
        [ "$away" -le "$longest" ] || longest=$away
    done
    kill $first $second
    wait $first $second || true
    echo "error wait time $1: the route is away for up to $((longest / 1000)).$((longest % 1000 / 100)) s" >&2
    echo "$longest"
}

bird --version
slow=$(longest_of_pauses "1, 5")
fast=$(longest_of_pauses "1, 1")
if [ "$slow" -lt 2000 ] || [ "$fast" -ge "$slow" ]; then
    echo "the behaviour has changed" >&2
    exit 1
fi
