#!/usr/bin/env python3
"""Record where a real nginx sends keys with `hash $remote_addr [consistent]`.

What it does
    Starts small TCP backends on loopback addresses of their own at one fixed port,
    since ketama hashes names and ports. Each answers a new connection with its
    letter. An nginx with the stream module runs as a child process; client
    connections come strictly one after another from 127.77.x.y, so that
    `$remote_addr` is a known key, and the letters that come back are written to

        nginx_hash.txt    hash $remote_addr;             nginx_ketama.txt  ... consistent;

    Every line has an upstream block of its own, so it starts from fresh state. The
    files are the same byte for byte on every run.

How to run (as root on Linux; `apt-get install nginx libnginx-mod-stream`)
    python3 record_nginx_hash.py               write the files next to this script
    python3 record_nginx_hash.py --out DIR     write them to DIR, e.g. to compare
    The names in NAMES are made known in a mount namespace of the script's own, by an
    /etc/hosts that no other process sees.
"""

import argparse
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from record_nginx import TIMEOUT, Recorder, free_ports, stop, wait_ready

PORT = 4461
KEYS = 400
ADDRESSES = {letter: f"127.10.0.{i}" for i, letter in enumerate("abcdefgh", 1)}
ADDRESSES["x"] = "[::1]"
# Configured names and what they resolve to.
NAMES = {"alpha.test": "a", "Beta.Test": "b", "gamma": "c", "pair.test": "de", "trio.test": "fgh"}

# Servers as in the configuration, without the port; then weight and flags. `dead` is ours: refuses connections.
LINES = [
    "a=1 b=1", "a=1 b=1 c=1", "a=5 b=1 c=1", "a=1 b=2 c=3 d=4", "a=7 b=3", "a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1",
    "a=100 b=1 c=50", "a=1 x=1 b=2",
    "alpha.test=1 Beta.Test=1 gamma=2", "pair.test=1 a=1", "a=2 pair.test=1 trio.test=3",
    "a=1,dead b=1 c=1", "a=5,dead b=1 c=1", "a=1 b=2,dead c=3 d=4", "a=1,dead b=1,dead c=1 d=1 e=1",
    "a=1,down b=1 c=1", "a=5 b=3,down c=1", "a=1",
]


class Server:
    def __init__(self, letter):
        address = ADDRESSES[letter].strip("[]")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.create_server((address, PORT), family=family, backlog=512)
        self.letter = letter.encode()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return  # closed by close()
            with conn:
                conn.sendall(self.letter)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def own_hosts_file(directory):
    """Makes NAMES known to this process and its children only."""
    hosts = directory / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(
        f"{ADDRESSES[letter]} {name}\n" for name, letters in NAMES.items() for letter in letters))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)


def upstream(number, line, method, port):
    words = []
    for server in line.split():
        spec, *flags = server.split(",")
        name, weight = spec.split("=")
        host = ADDRESSES.get(name, name)
        words.append(f"server {host}:{PORT} weight={weight} max_fails=1 fail_timeout=1h"
                     + "".join(f" {f}" for f in flags if f != "dead") + ";")
    return (f"upstream u{number} {{ {method} {' '.join(words)} }}\n"
            f"server {{ listen 127.0.0.1:{port}; proxy_pass u{number}; }}")


def pick(port, key):
    source = f"127.77.{key // 250}.{1 + key % 250}"
    with socket.create_connection(("127.0.0.1", port), TIMEOUT, source_address=(source, 0)) as conn:
        answer = b""
        while data := conn.recv(64):
            answer += data
    return answer.decode() or "-"


def record(recorder, line, method, directory):
    """The letters for all keys. One nginx and its backends a line, since `dead` is a matter of the line."""
    with contextlib.ExitStack() as stack:
        dead = {server.split("=")[0] for server in line.split() if ",dead" in server}
        for letter in ADDRESSES:
            if letter not in dead:
                stack.callback(Server(letter).close)
        for _ in range(5):  # a chosen port may be taken before nginx binds it
            with contextlib.ExitStack() as reserved:
                ready_port, port = free_ports(2, reserved)
            config = directory / "nginx.conf"
            config.write_text("\n".join([
                f"load_module {recorder.module};", "daemon off; worker_processes 1; user root;",
                f"pid {directory}/nginx.pid; error_log {directory}/error.log;",
                "events { worker_connections 1024; }", "stream { access_log off;",
                f"server {{ listen 127.0.0.1:{ready_port}; return ready; }}",
                upstream(0, line, method, port), "}", ""]))
            child = subprocess.Popen(
                [recorder.nginx, "-p", directory, "-e", directory / "error.log", "-c", config],
                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(stop, child)
            if wait_ready(child, ready_port):
                break
        else:
            raise RuntimeError("nginx does not start: " + (directory / "error.log").read_text())
        return "".join(pick(port, key) for key in range(KEYS))


def write(recorder, name, comments, lines):
    header = [f"nginx {recorder.version}, stream module, one worker process.",
              "Recorded by record_nginx_hash.py; run `python3 record_nginx_hash.py` to record again.", *comments]
    (recorder.out / name).write_text("".join(f"# {line}\n" for line in header) + "".join(f"{line}\n" for line in lines))
    print(f"{name}: {len(lines)} vectors of {KEYS} keys")


def main():
    parser = argparse.ArgumentParser(description="Record where nginx's hash methods send keys.")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--module", default="/usr/lib/nginx/modules/ngx_stream_module.so")
    parser.add_argument("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nginx is stopped then too
    options = parser.parse_args()
    if not options.in_namespace:
        os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv, "--in-namespace"])
    options.connections = 0
    recorder = Recorder(options)
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        own_hosts_file(directory)
        for file, method in [("nginx_hash.txt", "hash $remote_addr;"),
                             ("nginx_ketama.txt", "hash $remote_addr consistent;")]:
            lines = [f"servers: {line} | answers: {record(recorder, line, method, directory)}" for line in LINES]
            write(recorder, file, [
                f"Method `{method}`: for key i from 0, the source address",
                "127.77.{i / 250}.{1 + i % 250}, the letter of the server that answered.",
                f"Server: name=weight, then flags: down, or dead (refuses connections). Port {PORT}.",
                "Letters are also names: " + ", ".join(f"{k} {v}" for k, v in ADDRESSES.items()) + ".",
                "Other names stand for " + ", ".join(f"{k} {v}" for k, v in NAMES.items()) + ".",
                "All servers have max_fails=1 and fail_timeout=1h; next upstream is on."], lines)


if __name__ == "__main__":
    main()
