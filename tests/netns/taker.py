#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""taker.py RUN_DIR HOW - a process that begins to take the service over and does not finish.

  version   speaks another version: is refused, by a text that names both
  two       while it is at it another one comes: that one is refused
  garbage   says what nobody asked for
  stall     tells of flows until a worker of the service stands still: is refused
  held      a worker has just been stopped (environment STALL: tests/tools/stall), so that its heartbeat is fresh still,
            when BEGIN, COPY, FREEZE come: each is refused within a second
  STAGE     says no more after hello, begin, port, copy, freeze or links, and ends at once; with `links`
            it has put a program of its own into every link
  STAGE-silent  the same, but stays until the service has had enough

Exit 0: the service said what it must, and closed the connection where it must. Layout of the
messages: fastpath/control/takeover_wire.h.
"""
import array
import ctypes
import os
import platform
import select
import socket
import struct
import subprocess
import sys
import time

(HELLO, REFUSED, WELCOME, BEGIN, PORTS, PORT_WANTED, PORT, COPY, COPIED, FREEZE, FROZEN, DONE, GO,
 BYE) = range(1, 15)
MAGIC = 0x4F545845
VERSION = 3
HEAD = struct.Struct("=IHH")


class Old:
    """The service that runs."""

    def __init__(self, run_dir):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(10)
        self.sock.connect(os.path.join(run_dir, "takeover.sock"))
        self.fds = []

    def send(self, kind, body=b"", version=VERSION):
        msg = HEAD.pack(MAGIC, version, kind) + body
        try:
            self.sock.send(msg)
        except BrokenPipeError:
            pass  # closed, perhaps with a word of refusal before

    def recv(self):
        data, fds, _, _ = socket.recv_fds(self.sock, 65536, 128)
        self.fds = fds
        if not data:
            return None, b""
        _, _, kind = HEAD.unpack_from(data)
        return kind, data[HEAD.size:]

    def want(self, kind):
        got, body = self.recv()
        if got != kind:
            sys.exit("message %s, wanted %d: %s" % (got, kind, body[:100].rstrip(b"\0")))
        return body

    def refused(self):
        return self.want(REFUSED).split(b"\0")[0].decode()

    def closed(self, within):
        """The connection ends within so many seconds, whatever is said before."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            ready, _, _ = select.select([self.sock], [], [], 0.2)
            try:
                if ready and not self.sock.recv(65536):
                    return True
            except ConnectionResetError:
                return True
        return False


def hello_body():
    """What this build wants to hear in a HELLO: sizes, and the lowest version."""
    out = os.popen(os.path.join(os.environ["BUILD"], "tests/takeover_driver")).read()
    return [int(n) for n in out.split()]


def hello(run_dir):
    old = Old(run_dir)
    body = hello_body()
    old.send(HELLO, struct.pack("=%dI" % len(body), *body))
    return old


def load_program():
    """XDP_PASS, with fragments: what a program of another version would be, without any state."""
    code = struct.pack("=BBhi", 0xB7, 0, 0, 2) + struct.pack("=BBhi", 0x95, 0, 0, 0)
    insns = ctypes.create_string_buffer(code)
    licence = ctypes.create_string_buffer(b"GPL")
    attr = struct.pack("=IIQQIIQII16sII", 6, 2, ctypes.addressof(insns), ctypes.addressof(licence),
                       0, 0, 0, 0, 1 << 5, b"taker", 0, 37)
    fd = bpf(5, attr)
    if fd < 0:
        sys.exit("cannot load a program")
    return fd


def bpf(cmd, attr):
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    buf = ctypes.create_string_buffer(attr, 144)
    return ctypes.CDLL(None, use_errno=True).syscall(number, cmd, buf, 144)


def go_to(old, stage):
    """Up to the named stage, all as it should be."""
    links = []
    old.want(WELCOME)
    if stage == "hello":
        return
    old.send(BEGIN)
    cnt, = struct.unpack_from("=I", old.want(PORTS))
    if stage == "begin":
        return
    for n in range(cnt):
        old.send(PORT_WANTED, struct.pack("=I", n))
        old.want(PORT)
        links.append(old.fds[0])
    if stage == "port":
        return
    for _ in range(3):
        old.send(COPY)
        old.want(COPIED)
    if stage == "copy":
        return
    old.send(FREEZE)
    old.want(FROZEN)
    if stage == "freeze":
        return
    prog = load_program()
    for link in links:
        if bpf(29, struct.pack("=IIII", link, prog, 0, 0)):
            sys.exit("cannot put a program into a link")


def version(run_dir):
    old = Old(run_dir)
    old.send(HELLO, version=9)
    text = old.refused()
    if "version 9:" not in text or "version %d " % VERSION not in text:
        sys.exit("refused by: " + text)


def two(run_dir):
    first = hello(run_dir)
    first.want(WELCOME)
    second = hello(run_dir)
    text = second.refused()
    if "pid %d is under way" % os.getpid() not in text:
        sys.exit("refused by: " + text)


def garbage(run_dir):
    for kind in (DONE, FREEZE, PORT_WANTED, 77):
        old = hello(run_dir)
        old.want(WELCOME)
        old.send(kind, struct.pack("=I", 4000000000))
        if not old.closed(2):
            sys.exit("message %d: the connection stays" % kind)
    old = Old(run_dir)
    old.sock.send(b"hello there, I am not one of yours")
    if not old.closed(2):
        sys.exit("the connection stays")


def stall(run_dir):
    old = hello(run_dir)
    go_to(old, "copy")
    print("is told of flows", flush=True)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        old.send(COPY)
        kind, body = old.recv()
        if kind == REFUSED:
            break
        time.sleep(0.05)
    text = body.split(b"\0")[0].decode(errors="replace")
    if kind != REFUSED or "stands still" not in text:
        sys.exit("message %s: %s" % (kind, text[:100]))


def held(run_dir):
    with open(os.path.join(run_dir, "lock")) as f:
        pid = f.readline().strip()
    for stage, kind in (("hello", BEGIN), ("port", COPY), ("copy", FREEZE)):
        old = hello(run_dir)
        go_to(old, stage)
        tool = subprocess.Popen([os.environ["STALL"], pid, "xe-worker/0", "8000"], stdout=subprocess.PIPE)
        tool.stdout.readline()
        begin = time.monotonic()
        old.send(kind)
        kind, body = old.recv()
        took = time.monotonic() - begin
        tool.terminate()  # which lets the worker go
        tool.wait()
        text = body.split(b"\0")[0].decode(errors="replace")
        print("after %s: %.3f s: message %s %s" % (stage, took, kind, text[:100]), flush=True)
        if kind != REFUSED or "stands still" not in text or took > 0.9:
            sys.exit(1)
        if not old.closed(2):
            sys.exit("the connection stays")
        time.sleep(1.5)


def main():
    run_dir, how = sys.argv[1:]
    if how in ("version", "two", "garbage", "stall", "held"):
        globals()[how](run_dir)
        return
    stage, _, silent = how.partition("-")
    old = hello(run_dir)
    go_to(old, stage)
    if silent:
        print("silent", flush=True)
    if silent and not old.closed(8):
        sys.exit("the service still waits")


main()
