#!/usr/bin/env python3
"""Records what real TLS clients send first, into this folder. Needs openssl 3.0, and curl_cffi and pyOpenSSL from PyPI.

They are told to connect to a socket of this script's own, which reads and never answers.
"""

import pathlib
import socket
import subprocess
import threading

import curl_cffi
import OpenSSL.SSL

FOLDER = pathlib.Path(__file__).parent


def message_complete(stream):
    """Whether the records hold a whole handshake message."""
    message = b""
    while len(stream) >= 5:
        length = int.from_bytes(stream[3:5], "big")
        message += stream[5 : 5 + length]
        stream = stream[5 + length :]
    return len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big")


def record(name, connect):
    """Writes the first message that `connect(port)` sends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = threading.Thread(target=connect, args=[listener.getsockname()[1]])
        client.start()
        connection, _ = listener.accept()
        stream = b""
        with connection:
            connection.settimeout(10)
            while not message_complete(stream):
                stream += connection.recv(65536)
        client.join()
    (FOLDER / name).write_bytes(stream)
    print(f"{name}: {len(stream)} bytes")


def s_client(*options):
    """OpenSSL's command line."""

    def connect(port):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)

    return connect


def browser(name):
    """A browser's hello, made by the browser's TLS library."""

    def connect(port):
        try:
            resolve = [f"www.example.com:{port}:127.0.0.1"]
            options = {curl_cffi.CurlOpt.RESOLVE: resolve}
            url = f"https://www.example.com:{port}/"
            curl_cffi.get(url, impersonate=name, curl_options=options, timeout=10)
        except curl_cffi.CurlError:
            pass

    return connect


def new_openssl(port):
    """An OpenSSL with a post-quantum default key share."""
    context = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD)
    connection = OpenSSL.SSL.Connection(context, socket.create_connection(("127.0.0.1", port)))
    connection.set_tlsext_host_name(b"pq.example.com")
    connection.set_connect_state()
    try:
        connection.do_handshake()
    except OpenSSL.SSL.Error:
        pass


NAME = ["-servername", "www.example.com"]
MANY = ",".join(f"protocol-number-{number}" for number in range(40))

record("tls13.bin", s_client(*NAME, "-alpn", "h2,http/1.1"))
record("tls12.bin", s_client("-servername", "WWW.Example.COM", "-tls1_2"))
record("no_server_name.bin", s_client("-noservername"))
record("three_records.bin", s_client(*NAME, "-alpn", MANY, "-max_send_frag", "512"))
record("post_quantum.bin", new_openssl)
record("chrome.bin", browser("chrome"))
record("firefox.bin", browser("firefox"))
