#!/usr/bin/env bash
# Kernel: Linux TCP, the size of the send queue of a connection that a reset has ended. Seen on 6.18.
#
# Belief:    SIOCOUTQ and tcpi_notsent_bytes are what waits in the send queue, so both are 0 once a reset has thrown the queue away.
# Behaviour: they are differences of sequence numbers, which the reset leaves as they were. If the peer's window was full, both stay
#            above 0 as long as the socket exists; of TCP_INFO's counts only tcpi_unacked is 0. A program that waits for an empty
#            queue before it closes such a socket waits for ever: it has to look at tcpi_state (7, CLOSE) first.
# Output seen (the last lines of this script):
#   full window: state=1 notsent>0 outq>0
#   after reset: state=7 notsent>0 outq>0 unacked=0
#
# Needs Linux and Python 3. Nothing is installed. Fails if the behaviour changes.
set -euo pipefail
uname -sr

seen=$(python3 - <<'PYTHON'
import fcntl, select, socket, struct, termios

def positive(name, value):
    return f"{name}>0" if value > 0 else f"{name}={value}"

def info(sender):
    words = sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 148)
    queue = struct.unpack("i", fcntl.ioctl(sender, termios.TIOCOUTQ, bytes(4)))[0]
    return words[0], struct.unpack_from("I", words, 4 * 6)[0], struct.unpack_from("I", words, 4 * 36)[0], queue

with socket.create_server(("127.0.0.1", 0)) as listener:
    sender = socket.create_connection(listener.getsockname())
    receiver, _ = listener.accept()
sender.setblocking(False)
try:
    while True:
        sender.send(bytes(65536))
except BlockingIOError:
    pass
state, _, notsent, queue = info(sender)
print(f"full window: state={state} {positive('notsent', notsent)} {positive('outq', queue)}")
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
receiver.close()
arrived = select.poll()
arrived.register(sender, 0)  # the end and errors alone
arrived.poll(5000)
state, unacked, notsent, queue = info(sender)
print(f"after reset: state={state} {positive('notsent', notsent)} {positive('outq', queue)} unacked={unacked}")
PYTHON
)
printf '%s\n' "$seen"
diff <(printf '%s\n' \
    'full window: state=1 notsent>0 outq>0' \
    'after reset: state=7 notsent>0 outq>0 unacked=0') <(printf '%s\n' "$seen")
