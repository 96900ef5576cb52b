#!/usr/bin/env bash
# Kernel: Linux TCP, a reset that arrives behind data. Seen on 6.18.
#
# Belief:    recv returns ECONNRESET for a stream that a reset cut short, so 0 means that the peer ended its stream.
# Behaviour: the kernel reports the reset to the first call that meets the pending error, whichever that is. If a send or
#            getsockopt(SO_ERROR) takes it, the reader gets the queued data and then 0, as behind a FIN. A proxy that
#            writes to a socket and reads from it takes a cut stream for a complete one.
# Output seen (the last lines of this script):
#   recv first:     recv=100 recv=ECONNRESET recv=0
#   send first:     send=ECONNRESET recv=100 recv=0 recv=0
#   SO_ERROR first: SO_ERROR=ECONNRESET recv=100 recv=0 recv=0
#
# Needs Linux and Python 3. Nothing is installed. Fails if the behaviour changes.
set -euo pipefail
uname -sr

seen=$(python3 - <<'PYTHON'
import errno, select, socket, struct

def connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    return one, other

def outcome(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]

def recv(receiver):
    return "recv=" + str(outcome(lambda: len(receiver.recv(1000))))

def send(receiver):
    return "send=" + str(outcome(lambda: receiver.send(b"x")))

def so_error(receiver):
    return "SO_ERROR=" + errno.errorcode[receiver.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]

for name, first in (("recv", None), ("send", send), ("SO_ERROR", so_error)):
    receiver, sender = connection()
    sender.sendall(bytes(100))
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sender.close()
    arrived = select.poll()
    arrived.register(receiver, 0)  # the end and errors alone
    arrived.poll(5000)
    steps = [first(receiver)] if first else []
    steps += [recv(receiver) for _ in range(3)]
    print(f"{name + ' first:':15} " + " ".join(steps))
PYTHON
)
printf '%s\n' "$seen"
diff <(printf '%s\n' \
    'recv first:     recv=100 recv=ECONNRESET recv=0' \
    'send first:     send=ECONNRESET recv=100 recv=0 recv=0' \
    'SO_ERROR first: SO_ERROR=ECONNRESET recv=100 recv=0 recv=0') <(printf '%s\n' "$seen")
