#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""late_go.py RUN_DIR SECONDS - stands between the two processes of a takeover, and holds the last word (GO) back
for so long, as a machine does that has no CPU for either of them. Prints a line when it has it. Ends when they
have nothing to say any more. Layout of the messages: fastpath/control/takeover_wire.h.
"""
import os
import select
import socket
import struct
import sys
import time

GO = 13
HEAD = struct.Struct("=IHH")


def pass_on(source, to, seconds):
    """One message; False: the end."""
    try:
        data, fds, _, _ = socket.recv_fds(source, 1 << 16, 253)
    except ConnectionResetError:
        return False
    if not data:
        return False
    if HEAD.unpack_from(data)[2] == GO:
        print("it is told to go", flush=True)
        time.sleep(seconds)
    try:
        socket.send_fds(to, [data], fds)
    except OSError:
        return False
    for fd in fds:
        os.close(fd)
    return True


def main():
    name = os.path.join(sys.argv[1], "takeover.sock")
    real = os.path.join(sys.argv[1], "takeover.real")
    os.rename(name, real)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(name)
    listener.listen(1)
    print("listens", flush=True)
    new, _ = listener.accept()
    old = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    old.connect(real)
    other = {new: old, old: new}
    go_on = True
    while go_on:
        for source in select.select([new, old], [], [])[0]:
            go_on = go_on and pass_on(source, other[source], float(sys.argv[2]))
    os.unlink(real)


main()
