#!/usr/bin/env bash
# keepalived 2.2.7 (Debian 12: keepalived 1:2.2.7-1+b2), a VRRP instance that follows a track_file with weight 0.
#
# Belief:    A node whose readiness is unknown does not take the address: a track_file that is gone, empty or no number is
#            a failure, as a track_script that cannot run is.
# Behaviour: keepalived takes such a file for 0, which is success. If the program that writes the file is stopped and its
#            folder removed with it (systemd's RuntimeDirectory), a node in state FAULT takes the address.
# Output seen:
#   1: no address
#   the file is removed: has the address
#   1: no address
#   the file is empty: has the address
#   1: no address
#   the file has the text "not ready": has the address
#
# Needs Linux, root, iproute2 and Debian's keepalived. Traffic stays in a network namespace. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
namespace=finding-$$
trap 'kill ${pid:-} 2>/dev/null; wait; ip netns del "$namespace"; rm -rf "$dir"' EXIT
ip netns add "$namespace"
ip -n "$namespace" link add eth0 type veth peer name eth1
ip -n "$namespace" addr add 192.0.2.1/24 dev eth0
ip -n "$namespace" link set eth0 up
ip -n "$namespace" link set eth1 up
cat >"$dir/keepalived.conf" <<CONF
global_defs {
    vrrp_version 3
}
track_file ready {
    file $dir/ready
    weight 0
}
vrrp_instance finding {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.100/24
    }
    track_file {
        ready
    }
}
CONF
keepalived --version 2>&1 | head -n 1
echo 1 >"$dir/ready"
ip netns exec "$namespace" keepalived --dont-fork --log-console --vrrp -f "$dir/keepalived.conf" -p "$dir/pid" -r "$dir/vrrp" \
    >"$dir/log" 2>&1 &
pid=$!

# Waits until keepalived has changed its state for the nth time, and prints whether the node has the address.
states=0
expect() { # what STATE
    states=$((states + 1))
    for _ in $(seq 200); do
        if [ "$(grep -ciE 'entering (MASTER|FAULT) STATE$' "$dir/log")" -ge "$states" ]; then break; fi
        sleep 0.05
    done
    local last
    last=$(grep -oiE 'entering (MASTER|FAULT) STATE$' "$dir/log" | tail -n 1 | cut -d ' ' -f 2)
    case $last in
    MASTER) echo "$1: has the address" ;;
    FAULT) echo "$1: no address" ;;
    esac
    if [ "$last" != "$2" ]; then
        echo "the behaviour has changed" >&2
        exit 1
    fi
}

expect 1 FAULT
rm "$dir/ready"
expect "the file is removed" MASTER
echo 1 >"$dir/ready"
expect 1 FAULT
: >"$dir/ready"
expect "the file is empty" MASTER
echo 1 >"$dir/ready"
expect 1 FAULT
echo "not ready" >"$dir/ready"
expect 'the file has the text "not ready"' MASTER
