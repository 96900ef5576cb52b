#!/usr/bin/env python3
"""Record the order in which a real nginx picks while its state moves.

What it does
    Works as record_nginx.py does, with scripts instead of plain rows of connections:

        nginx_least_conn_order.txt  least_conn while connections are held and released
        nginx_weight_damping.txt    round robin while servers refuse connections for a while

    Both files are the same byte for byte on every run.

How to run (`apt-get install nginx libnginx-mod-stream`)
    python3 record_nginx_order.py               write the files next to this script
    python3 record_nginx_order.py --out DIR     write them to DIR, e.g. to compare
"""

import argparse
import pathlib
import random
import signal
import socket
import sys
import threading
import time

from record_nginx import Backend, Recorder, Scenario, close_held

# Servers as in the configuration; then a pattern of `PATTERNS`.
LEAST_CONN_SERVERS = [
    "a=1 b=1", "a=1 b=1 c=1", "a=2 b=1 c=1", "a=3 b=2 c=1", "a=1 b=2 c=3", "a=5 b=1 c=1", "a=1 b=10",
    "a=4 b=3 c=2 d=1", "a=3 b=3 c=3 d=3", "a=2 b=4 c=6",
    "a=1 b=1,down c=1", "a=5 b=1,down c=1", "a=4,down b=3 c=2 d=1", "a=2 b=1 c=1,backup",
    "a=1,down b=3,backup c=1,backup", "a=1,down b=1,backup c=2,backup,down d=2,backup",
]
FAIL_TIMEOUT = 1  # seconds, of lines with a `~`
# Servers, max_fails, and a script: a number is so many connections, `!x` lets x refuse, `^x` lets it answer again,
# `~` waits until fail_timeout is over.
DAMPING = [
    ("a=1 b=1 c=1", 1, "4 !a 6 ~ 6 ^a ~ 24"),
    ("a=1 b=1 c=1", 3, "4 !a 4 ^a 24"),
    ("a=5 b=1 c=1", 1, "7 !a 7 ^a ~ 28"),
    ("a=5 b=1 c=1", 5, "7 !a 3 ^a 28"),
    ("a=5 b=1 c=1", 2, "7 !a 1 ^a 28"),
    ("a=5 b=1 c=1", 2, "7 !a 14 ~ 7 ^a ~ 35"),
    ("a=10 b=5 c=5", 5, "20 !a 3 ^a 60"),
    ("a=10 b=5 c=5", 5, "20 !b 3 ^b 60"),
    ("a=6 b=3 c=2", 3, "11 !a 2 ^a 44"),
    ("a=6 b=3 c=2", 3, "11 !b !c 8 ^b ^c ~ 44"),
    ("a=4 b=3 c=2 d=1", 2, "10 !b 2 ^b 40"),
    ("a=3 b=2 c=1", 1, "6 !a !b 6 ^a ~ 12 ^b ~ 24"),
    ("a=7 b=3", 2, "10 !a 3 ^a ~ 40"),
    ("a=100 b=1 c=50", 10, "20 !a 6 ^a 60"),
    ("a=2 b=1 c=1,backup", 1, "6 !a !b 6 ^a ~ 8 ^b ~ 12"),
    ("a=8 b=4", 4, "12 !a 2 ^a 2 !a 2 ^a 2 !b 4 ^b 36"),
]


class Switched(Backend):
    """A backend that can refuse connections for a while."""

    def refuse(self):
        self.close()
        # Bound without listening it refuses, and no other process gets the port.
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.refuses = True

    def answer(self):
        self.listener.listen(512)
        self.refuses = False
        threading.Thread(target=self._accept, daemon=True).start()

    refuses = False

    def close(self):
        if self.refuses:
            self.listener.close()
        else:
            super().close()


class Held:
    """The open connections of one line, and the steps that made them."""

    def __init__(self, scenario, backends):
        self.scenario, self.backends, self.conns, self.steps = scenario, backends, [], []

    def open(self):
        conn = self.scenario.connect()
        letter = conn.recv(1).decode()
        self.conns.append((letter, conn))
        self.steps.append("+" + letter)

    def close(self, index):
        letter, conn = self.conns.pop(index)
        close_held(conn, self.backends[letter])
        self.steps.append("-" + letter)


def idle(held, _):
    for _ in range(24):
        held.open()
        held.close(0)


def fill(held, _):
    for _ in range(24):
        held.open()


def oldest(held, _):
    """Five connections at a time; the oldest ends when another begins."""
    for _ in range(30):
        held.open()
        if len(held.conns) > 5:
            held.close(0)


def newest(held, _):
    """Seven connections; then each new one ends and two older ones take turns."""
    for _ in range(7):
        held.open()
    for turn in range(12):
        held.close(-1 - turn % 2)
        held.open()


def batches(held, _):
    """Four begin, then all four end."""
    for _ in range(8):
        for _ in range(4):
            held.open()
        while held.conns:
            held.close(0)


def mixed(held, seed):
    rng = random.Random(seed)
    for _ in range(60):
        if not held.conns or rng.random() < 0.55:
            held.open()
        else:
            held.close(int(rng.random() * len(held.conns)))


PATTERNS = [idle, fill, oldest, newest, batches, mixed]


def least_conn(recorder):
    rows = [(servers, pattern) for servers in LEAST_CONN_SERVERS for pattern in PATTERNS]
    scenarios = [Scenario(servers, "least_conn;") for servers, _ in rows]
    lines = []
    with recorder.running(scenarios, hold=True) as backends:
        for seed, ((servers, pattern), scenario) in enumerate(zip(rows, scenarios)):
            held = Held(scenario, backends)
            pattern(held, seed)
            lines.append(f"servers: {servers} | pattern: {pattern.__name__} | steps: {' '.join(held.steps)}")
            while held.conns:
                held.close(0)
    recorder.write("nginx_least_conn_order.txt", [
        "Method least_conn. Server: letter=weight, then flags of nginx: down, backup.",
        "Steps: `+x`, a new connection was sent to x and stays open; `-x`, one connection of x",
        "was closed. Connections still open at the end of a line do not count for the next."], lines)


def damping(recorder):
    scenarios = [
        Scenario(servers, parameters=f"max_fails={max_fails} fail_timeout={fail_timeout(script)}s")
        for servers, max_fails, script in DAMPING]
    lines = []
    with recorder.running(scenarios, log=True, kind=Switched) as backends:
        for (servers, max_fails, script), scenario in zip(DAMPING, scenarios):
            steps = list(play(script, scenario, backends))
            tries = iter(scenario.tries())
            steps = [next(tries) if step == "+" else step for step in steps]
            lines.append(f"servers: {servers} | max_fails: {max_fails} | "
                         f"fail_timeout: {fail_timeout(script)} | steps: {' '.join(steps)}")
            for backend in backends.values():
                if backend.refuses:
                    backend.answer()
    recorder.write("nginx_weight_damping.txt", [
        "Default method (smooth weighted round robin); nothing in flight at any pick.",
        "Server: letter=weight, then flags of nginx: backup. All servers have the given max_fails",
        "and fail_timeout (seconds); next upstream is on.",
        "Steps: `!x`, x begins to refuse connections; `^x`, it answers again; `~`, more than",
        "fail_timeout passes; else one connection: the servers tried, first to last, joined by `>`.",
        "Between two `~` less than fail_timeout passes."], lines)


def fail_timeout(script):
    return FAIL_TIMEOUT if "~" in script else 3600


def play(script, scenario, backends):
    """Yields the steps, with `+` for a connection."""
    for word in script.split():
        if word == "~":
            # nginx counts whole seconds, of a clock that it reads now and then.
            time.sleep(2 * FAIL_TIMEOUT + 0.5)
        elif word[0] == "!":
            backends[word[1]].refuse()
        elif word[0] == "^":
            backends[word[1]].answer()
        else:
            for _ in range(int(word)):
                scenario.pick()
                yield "+"
            continue
        yield word


def main():
    parser = argparse.ArgumentParser(description="Record the order of nginx's picks while its state moves.")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--module", default="/usr/lib/nginx/modules/ngx_stream_module.so")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nginx is stopped then too
    options = parser.parse_args()
    options.connections = 0
    recorder = Recorder(options)
    recorder.script = "record_nginx_order.py"
    recorder.out.mkdir(parents=True, exist_ok=True)
    least_conn(recorder)
    damping(recorder)


if __name__ == "__main__":
    main()
