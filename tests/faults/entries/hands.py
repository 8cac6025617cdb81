# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""hands.py - foreign hands: what is ours taken away, what the host needs changed. The service
notices within 2 s and mends it; status says so meanwhile."""
import ctypes
import json
import os
import struct

from table import fault
from world import RunError, wait_for, SLOW

NOTICED_S = 2


def mended(w, what, look):
    """It has to be noticed within 2 s, and is mended at once then."""
    wait_for(what + " mended", NOTICED_S * SLOW + 1, look)
    wait_for("status content again", NOTICED_S * SLOW + 1, lambda: w.ctl_ok("status"))


def programs(w, dev):
    found = json.loads(w.on("h", "ip", "-d", "-j", "link", "show", "dev", dev))[0]
    return [x["id"] for x in [found.get("xdp", {}).get("prog", {})] if "id" in x]


# bpftool 7.1 tells no interface of an XDP link, so the system call is asked: bpf(2).
SYS_BPF, OBJ_GET_INFO_BY_FD, LINK_GET_FD_BY_ID, LINK_DETACH = 321, 15, 30, 34
LIBC = ctypes.CDLL(None, use_errno=True)


def bpf(command, *words):
    attr = ctypes.create_string_buffer(struct.pack("=%dI" % len(words), *words), 128)
    return LIBC.syscall(SYS_BPF, command, attr, 128)


def ifindex_of_link(fd):
    info = ctypes.create_string_buffer(256)
    at = ctypes.addressof(info)
    bpf(OBJ_GET_INFO_BY_FD, fd, 256, at & 0xffffffff, at >> 32)
    return struct.unpack_from("=I", info, 16)[0]


def take_off(w, dev):
    """Detaches the bpf_link on that interface, as its owner never would."""
    ifindex = json.loads(w.on("h", "ip", "-j", "link", "show", "dev", dev))[0]["ifindex"]
    ids = programs(w, dev)
    for x in json.loads(w.on("h", "bpftool", "-j", "link", "show")):
        if x["type"] != "xdp" or x["prog_id"] not in ids:
            continue
        fd = bpf(LINK_GET_FD_BY_ID, x["id"])
        try:
            if ifindex_of_link(fd) == ifindex:
                if bpf(LINK_DETACH, fd):
                    raise RunError("detach: " + os.strerror(ctypes.get_errno()))
                return
        finally:
            os.close(fd)
    raise RunError("no bpf_link on %s" % dev)


@fault(quick=True)
def program_taken_off_uplink(w):
    """The XDP program taken off the uplink (bpftool link detach)."""
    take_off(w, "eth0")
    mended(w, "program on eth0", lambda: programs(w, "eth0"))


@fault(hits=("c1", "many"))
def program_taken_off_inside(w):
    """The XDP program taken off a container's veth."""
    take_off(w, "vc1")
    mended(w, "program on vc1", lambda: programs(w, "vc1"))


def tables(w):
    return w.on("h", "nft", "list", "tables")


@fault(quick=True, pause=300, leaks=True)
def nft_flushed(w):
    """`nft flush ruleset`, as a firewall's restart does it."""
    w.on("h", "nft", "flush", "ruleset")
    mended(w, "safety net", lambda: "xegress" in tables(w))


@fault(pause=300)
def nft_chain_emptied(w):
    """The rules of one chain of the safety net deleted."""
    name = [ln.split()[-1] for ln in tables(w).splitlines() if "xegress" in ln][0]
    family = [ln.split()[1] for ln in tables(w).splitlines() if name in ln][0]
    before = w.on("h", "nft", "-s", "list", "table", family, name)
    chain = [ln.split()[1] for ln in before.splitlines() if ln.startswith("\tchain")][0]
    w.on("h", "nft", "flush", "chain", family, name, chain)
    mended(w, "chain", lambda: w.on("h", "nft", "-s", "list", "table", family, name) == before)


@fault()
def ip_forward_off(w):
    """net.ipv4.ip_forward set to 0: the service only tells of it; set to 1 again when it has."""
    w.on("h", "sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
    wait_for("status tells of it", NOTICED_S * SLOW, lambda: not w.ctl_ok("status"))
    w.on("h", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")


@fault(pause=300)
def punt_device_deleted(w):
    """The punt device set down and deleted."""
    w.try_on("h", "ip", "link", "set", "xepunt0", "down")
    w.try_on("h", "ip", "link", "del", "xepunt0")
    mended(w, "xepunt0", lambda: w.try_on("h", "ip", "link", "show", "dev", "xepunt0"))


@fault(pause=300)
def xdp_off(w):
    """`ip link set eth0 xdp off`: refused by the kernel for a program of a bpf_link, or mended."""
    for mode in ("xdpgeneric", "xdpdrv"):
        w.try_on("h", "ip", "link", "set", "dev", "eth0", mode, "off")
    mended(w, "program on eth0", lambda: programs(w, "eth0"))
