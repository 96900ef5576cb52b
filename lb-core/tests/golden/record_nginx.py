#!/usr/bin/env python3
"""Record load-balancing decisions of a real nginx as text vectors.

What it does
    Starts small TCP backends on 127.0.0.1 (ports picked by the kernel). Each
    backend answers a new connection with its own letter. An nginx with the
    stream module is started as a child process with a configuration in a
    temporary directory, client connections are made strictly one after another,
    and the letters that come back are written to vector files:

        nginx_smooth_wrr.txt         round robin, various weights
        nginx_smooth_wrr_backup.txt  round robin with "down" and "backup" servers
        nginx_smooth_wrr_dead.txt    round robin with a server refusing connections
        nginx_least_conn.txt         least_conn with connections held open
        nginx_random.txt             random, counts only (differs on every run)
        nginx_random_two.txt         random two least_conn, counts only (likewise)

    All files but those two are the same byte for byte on every run.

How to install nginx (Debian)
    apt-get install nginx libnginx-mod-stream
    The package may start a service of its own; it is neither needed nor touched.

How to run
    python3 record_nginx.py                  write the files next to this script
    python3 record_nginx.py --out DIR        write them to DIR, e.g. to compare
    python3 record_nginx.py --connections N  connections per line of nginx_random*.txt
    python3 record_nginx.py --module FILE    path of ngx_stream_module.so

Why the result is repeatable
    nginx runs one worker process, so there is one copy of the balancer state, and
    every vector line has an upstream block of its own, so it starts from fresh
    state. nginx gives a connection's slot back to the upstream before it closes
    the sockets of that connection. Each step therefore ends only when the client
    has read end of file (and, for held connections, the backend has too): by then
    the balancer state is final and the next step may begin.
"""

import argparse
import contextlib
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

LETTERS = "abcdefgh"
TIMEOUT = 10.0  # seconds; no single step takes more than a few milliseconds

WEIGHTS = [
    "5 1 1", "1", "1 1", "1 1 1", "1 1 1 1 1", "3 3", "1 2 3", "3 2 1", "4 3 2 1", "7 3",
    "10 1 1 1", "2 2 1", "1 10", "5 4 3 2 1", "100 1", "6 4 9", "13 7 5 3 2", "8 8 8 1",
    "2 4 6", "1 5 1", "1 1 5",
]
BACKUP = [
    "a=1 b=1,down c=1", "a=5 b=1,down c=1", "a=5,down b=1 c=1", "a=4 b=3 c=2,down d=1",
    "a=5 b=1 c=1,backup", "a=1 b=2,backup c=3", "a=2 b=1,down c=1,backup",
    "a=1,down b=1,backup", "a=5,down b=1,down c=1,backup", "a=1,down b=3,backup c=1,backup",
    "a=1,down b=5,backup c=1,backup,down d=1,backup", "a=1,backup b=1,down c=2,backup",
    "a=1,down b=1,down",
]
DEAD_WEIGHTS = ["1 1 1", "5 1 1", "1 2 3", "6 3 2"]
DEAD_BACKUP = ["a=1,dead b=1,backup", "a=3,dead b=1,dead c=2,backup d=1,backup",
               "a=2 b=1,dead c=1,backup"]
LEAST_CONN = ["1 1", "1 1 1", "2 1 1", "3 2 1", "5 1 1", "1 10", "4 3 2 1", "1 2 3", "2 2 1",
              "3 3 3 3"]
LEAST_CONN_STEPS = 60
RANDOM_TWO_WEIGHTS = ["1 1 1", "5 1 1", "3 2 1", "10 1", "100 1", "4 3 2 1"]
RANDOM_TWO_HELD = [1, 12]
RANDOM_WEIGHTS = ["1 1 1", "5 1 1", "3 2 1", "10 1"]


class Backend:
    """Answers each connection with one letter, then closes it or, with `hold`,
    waits until the peer closes it."""

    def __init__(self, letter, hold=False):
        self.letter, self.hold = letter.encode(), hold
        self.released = threading.Semaphore(0)  # one permit per held connection that saw EOF
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return  # closed by close()
            if self.hold:
                threading.Thread(target=self._hold, args=(conn,), daemon=True).start()
            else:
                with conn:
                    conn.sendall(self.letter)

    def _hold(self, conn):
        with conn:
            conn.sendall(self.letter)
            while conn.recv(64):
                pass
        self.released.release()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Scenario:
    """One upstream block behind one listening port of nginx. `servers` is a list of
    `letter=weight,flag,...` entries; the flag `dead` is ours, the others are nginx's."""

    def __init__(self, servers, method="", parameters=""):
        self.servers, self.method, self.parameters = servers.split(), method, parameters
        self.port = self.log = None  # set when nginx is started
        self.letter_by_addr = {}

    def config(self, name, live_ports, dead_ports):
        lines, self.total = [f"upstream {name} {{ {self.method}"], 0
        for server in self.servers:
            spec, *flags = server.split(",")
            letter, weight = spec.split("=")
            self.total += int(weight)
            address = f"127.0.0.1:{(dead_ports if 'dead' in flags else live_ports)[letter]}"
            self.letter_by_addr[address] = letter
            words = [address, f"weight={weight}", *(f for f in flags if f != "dead")]
            lines.append(f"server {' '.join(words)} {self.parameters};")
        lines.append(f"}} server {{ listen 127.0.0.1:{self.port}; proxy_pass {name};")
        lines.append(f"access_log {self.log} tries; }}" if self.log else "access_log off; }")
        return "\n".join(lines)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT)

    def pick(self):
        """Makes one short connection; returns the letter, or - if there was no answer."""
        with self.connect() as conn:
            answer = b""
            while data := conn.recv(64):
                answer += data
        return answer.decode() or "-"

    def order(self, laps):
        """Letters of at least 20 picks and at least `laps` times the sum of the weights."""
        return [self.pick() for _ in range(max(20, laps * self.total))]

    def tries(self):
        """Servers tried per connection, from the access log, e.g. ["a", "b>a"]."""
        rows = [line.split(", ") for line in self.log.read_text().splitlines()]
        return [">".join(self.letter_by_addr.get(addr, "-") for addr in row) for row in rows]


def from_weights(weights, dead=None):
    names = (f"{letter}={weight}" for letter, weight in zip(LETTERS, weights.split()))
    return " ".join(name + (",dead" if name[0] == dead else "") for name in names)


def free_ports(count, stack):
    """Ports chosen by the kernel, bound (but not listening) until `stack` is closed."""
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    return [sock.getsockname()[1] for sock in sockets]


def wait_ready(child, port):
    """True once nginx answers on its readiness port, False if it has exited."""
    deadline = time.monotonic() + TIMEOUT
    while child.poll() is None:
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as conn:
                if conn.recv(16) == b"ready":
                    return True
        if time.monotonic() > deadline:
            raise RuntimeError("nginx does not become ready")
        time.sleep(0.02)
    return False


def stop(child):
    child.terminate()
    try:
        child.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class Recorder:
    script = "record_nginx.py"

    def __init__(self, options):
        self.out, self.module, self.connections = options.out, options.module, options.connections
        self.nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        banner = subprocess.run([self.nginx, "-v"], capture_output=True, text=True, check=True)
        self.version = re.search(r"nginx/([0-9.]+)", banner.stderr).group(1)

    @contextlib.contextmanager
    def running(self, scenarios, hold=False, log=False, kind=Backend):
        """Runs backends and one nginx serving all scenarios; yields the backends by letter."""
        with contextlib.ExitStack() as stack:
            directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            backends = {letter: kind(letter, hold) for letter in LETTERS}
            for backend in backends.values():
                stack.callback(backend.close)
            live_ports = {letter: backend.port for letter, backend in backends.items()}
            # A port that is bound but not listening refuses connections.
            dead_ports = dict(zip(LETTERS, free_ports(len(LETTERS), stack)))
            for _ in range(5):  # a chosen port may be taken before nginx binds it
                with contextlib.ExitStack() as reserved:
                    ready_port, *listen_ports = free_ports(len(scenarios) + 1, reserved)
                blocks = []
                for number, scenario in enumerate(scenarios):
                    scenario.port = listen_ports[number]
                    scenario.log = directory / f"u{number}.log" if log else None
                    blocks.append(scenario.config(f"u{number}", live_ports, dead_ports))
                config = directory / "nginx.conf"
                config.write_text("\n".join([
                    f"load_module {self.module};",
                    "daemon off; worker_processes 1; user root;",
                    f"pid {directory}/nginx.pid; error_log {directory}/error.log;",
                    "events { worker_connections 1024; }",
                    "stream {", "log_format tries '$upstream_addr';",
                    f"server {{ listen 127.0.0.1:{ready_port}; return ready; }}",
                    *blocks, "}", ""]))
                child = subprocess.Popen(
                    [self.nginx, "-p", directory, "-e", directory / "error.log", "-c", config],
                    stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                stack.callback(stop, child)
                if wait_ready(child, ready_port):
                    break
            else:
                raise RuntimeError("nginx does not start: " + (directory / "error.log").read_text())
            yield backends

    def write(self, name, comments, lines):
        header = [f"nginx {self.version}, stream module, one worker process.",
                  f"Recorded by {self.script}; run `python3 {self.script}` to record again.",
                  "Servers are named a, b, c, ... in configuration order.", *comments]
        text = "".join(f"# {line}\n" for line in header) + "".join(f"{line}\n" for line in lines)
        (self.out / name).write_text(text)
        print(f"{name}: {len(lines)} vectors")

    def smooth_wrr(self, name, label, rows, comments):
        scenarios = [Scenario(from_weights(row) if label == "weights" else row) for row in rows]
        with self.running(scenarios):
            lines = [f"{label}: {row} | order: {' '.join(scenario.order(laps=2))}"
                     for row, scenario in zip(rows, scenarios)]
        self.write(name, [
            "Default method (smooth weighted round robin); nothing in flight at any pick.",
            "At least 20 picks and at least two laps (a lap is the sum of all weights).",
            *comments], lines)

    def smooth_wrr_dead(self):
        rows = [(from_weights(weights, dead), max_fails) for max_fails in (1, 3)
                for weights in DEAD_WEIGHTS for dead in LETTERS[:len(weights.split())]]
        rows += [(servers, max_fails) for max_fails in (1, 3) for servers in DEAD_BACKUP]
        scenarios = [Scenario(servers, parameters=f"max_fails={max_fails} fail_timeout=1h")
                     for servers, max_fails in rows]
        lines = []
        with self.running(scenarios, log=True):
            for (servers, max_fails), scenario in zip(rows, scenarios):
                order = scenario.order(laps=5)
                tries = scenario.tries()
                if [row[-1] for row in tries] != order:
                    raise RuntimeError(f"access log and answers differ for {servers}")
                lines.append(f"servers: {servers} | max_fails: {max_fails} | "
                             f"order: {' '.join(order)} | tries: {' '.join(tries)}")
        self.write("nginx_smooth_wrr_dead.txt", [
            "Default method (smooth weighted round robin); nothing in flight at any pick.",
            "Server: letter=weight, then flags: backup, or dead (refuses every connection).",
            "All servers have the given max_fails and fail_timeout=1h; next upstream is on.",
            "Order: the server that answered. Tries: servers tried for that connection, first",
            "to last, joined by `>`. At least 20 picks and at least five laps (a lap is the sum",
            "of all weights)."], lines)

    def least_conn(self):
        scenarios = [Scenario(from_weights(weights), "least_conn;") for weights in LEAST_CONN]
        with self.running(scenarios, hold=True) as backends:
            lines = [f"weights: {weights} | steps: {' '.join(hold_steps(scenario, seed, backends))}"
                     for seed, (weights, scenario) in enumerate(zip(LEAST_CONN, scenarios), 1)]
        self.write("nginx_least_conn.txt", [
            "Method least_conn. `+x`: a new connection was sent to x and stays open.",
            "`-x`: the oldest open connection of x was closed. Connections still open at the",
            "end of a line do not count for the next line (each line has fresh state)."], lines)

    def random(self):
        scenarios = [Scenario(from_weights(weights), "random;") for weights in RANDOM_WEIGHTS]
        lines = []
        with self.running(scenarios):
            for weights, scenario in zip(RANDOM_WEIGHTS, scenarios):
                order = [scenario.pick() for _ in range(self.connections)]
                counts = [str(order.count(server[0])) for server in scenario.servers]
                lines.append(f"weights: {weights} | connections: {self.connections} | "
                             f"counts: {' '.join(counts)}")
        self.write("nginx_random.txt", [
            "Method random. Counts of connections per server, in configuration order.",
            "THE COUNTS VARY from run to run; compare distributions, not exact numbers."], lines)

    def random_two(self):
        rows = [(weights, held) for weights in RANDOM_TWO_WEIGHTS for held in RANDOM_TWO_HELD]
        scenarios = [Scenario(from_weights(weights), "random two least_conn;") for weights, _ in rows]
        lines = []
        with self.running(scenarios, hold=True) as backends:
            for (weights, held), scenario in zip(rows, scenarios):
                total = self.connections - self.connections % held
                counts = {server[0]: 0 for server in scenario.servers}
                for _ in range(total // held):
                    for letter in held_round(scenario, held, backends):
                        counts[letter] += 1
                lines.append(f"weights: {weights} | held: {held} | connections: {total} | "
                             f"counts: {' '.join(map(str, counts.values()))}")
        self.write("nginx_random_two.txt", [
            "Method random two least_conn. Connections are made one after another and held until",
            "there are as many as `held` says, then all are closed before the next is made.",
            "Counts of connections per server, in configuration order.",
            "THE COUNTS VARY from run to run; compare distributions, not exact numbers."], lines)


def held_round(scenario, held, backends):
    """Opens `held` connections, closes them all, returns the letters that answered."""
    conns = [(conn := scenario.connect(), conn.recv(1).decode()) for _ in range(held)]
    for conn, letter in conns:
        close_held(conn, backends[letter])
    return [letter for _, letter in conns]


def hold_steps(scenario, seed, backends):
    """Opens and closes held connections in a seeded random sequence."""
    rng = random.Random(seed)
    held = {server[0]: [] for server in scenario.servers}
    steps = []
    for _ in range(LEAST_CONN_STEPS):
        busy = [letter for letter in held if held[letter]]
        if not busy or rng.random() < 0.6:
            conn = scenario.connect()
            letter = conn.recv(1).decode()
            held[letter].append(conn)
            steps.append("+" + letter)
        else:
            letter = busy[int(rng.random() * len(busy))]
            close_held(held[letter].pop(0), backends[letter])
            steps.append("-" + letter)
    for letter, conns in held.items():
        for conn in conns:
            close_held(conn, backends[letter])
    return steps


def close_held(conn, backend):
    with conn:
        conn.shutdown(socket.SHUT_WR)
        if conn.recv(1):
            raise RuntimeError("unexpected data on a held connection")
    if not backend.released.acquire(timeout=TIMEOUT):
        raise RuntimeError("the backend did not see the close of a held connection")


def main():
    parser = argparse.ArgumentParser(description="Record load-balancing decisions of nginx.")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--connections", type=int, default=20000)
    parser.add_argument("--module", default="/usr/lib/nginx/modules/ngx_stream_module.so")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nginx is stopped then too
    recorder = Recorder(parser.parse_args())
    recorder.out.mkdir(parents=True, exist_ok=True)
    recorder.smooth_wrr("nginx_smooth_wrr.txt", "weights", WEIGHTS, [])
    recorder.smooth_wrr("nginx_smooth_wrr_backup.txt", "servers", BACKUP, [
        "Server: letter=weight, then flags of nginx: down, backup.",
        "Order: `-` is a connection closed without an answer (no server available)."])
    recorder.smooth_wrr_dead()
    recorder.least_conn()
    recorder.random()
    recorder.random_two()


if __name__ == "__main__":
    main()
