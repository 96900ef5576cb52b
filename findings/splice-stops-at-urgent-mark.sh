#!/usr/bin/env bash
# Kernel: Linux, splice(2) from a TCP socket that received one urgent byte. Seen on 6.18.
#
# Belief:    A splice from a readable socket moves bytes. EAGAIN means that the socket holds no data, and 0 means that
#            the peer has ended its stream. Proxies that splice build their event loop on both.
# Behaviour: splice never crosses the urgent mark. It answers EAGAIN there while poll reports the socket readable, and
#            after the peer's FIN it answers 0 although bytes behind the mark are unread. One recv crosses the mark and
#            returns them.
# Output seen (the last lines of this script):
#   open:   splice=10 splice=EAGAIN poll=in splice=EAGAIN recv=10
#   closed: splice=10 splice=0 poll=in splice=0 recv=10
#
# Needs Linux and Python 3.10 or later (os.splice). Nothing is installed. Fails if the behaviour changes.
set -euo pipefail
uname -sr

seen=$(python3 - <<'PYTHON'
import fcntl, os, select, socket, struct, termios, time

def splice(source, pipe):
    try:
        return os.splice(source.fileno(), pipe, 65536, flags=os.SPLICE_F_NONBLOCK)
    except BlockingIOError:
        return "EAGAIN"

def readable(source):
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return "in" if poll.poll(0) else "none"

for name in ("open", "closed"):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    sender.sendall(b"a" * 10)
    sender.send(b"u", socket.MSG_OOB)
    sender.sendall(b"b" * 10)
    if name == "closed":
        sender.shutdown(socket.SHUT_WR)
    # Waits until the peer has acknowledged everything: SIOCOUTQ counts what it has not.
    deadline = time.monotonic() + 5
    while struct.unpack("i", fcntl.ioctl(sender, termios.TIOCOUTQ, bytes(4)))[0] and time.monotonic() < deadline:
        time.sleep(0.001)
    receiver.setblocking(False)
    _, pipe = os.pipe()
    first, second, poll = splice(receiver, pipe), splice(receiver, pipe), readable(receiver)
    print(f"{name + ':':7} splice={first} splice={second} poll={poll} splice={splice(receiver, pipe)} recv={len(receiver.recv(100))}")
PYTHON
)
printf '%s\n' "$seen"
diff <(printf '%s\n' \
    'open:   splice=10 splice=EAGAIN poll=in splice=EAGAIN recv=10' \
    'closed: splice=10 splice=0 poll=in splice=0 recv=10') <(printf '%s\n' "$seen")
