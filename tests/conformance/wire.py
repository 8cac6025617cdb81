# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""wire.py - packets as they are on a link: caught by AF_PACKET, read, judged, and put there.

Imports nothing of the product. Frames are built by scapy; reading is by hand, because a test waits
for one packet among thousands, and judges both checksums of it.
"""
import errno
import select
import socket
import struct
import time

SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 8, 15, 23
CSUM_NOT_READY = 1 << 3  # TP_STATUS_CSUMNOTREADY: sent without a checksum yet, offload was asked for
SO_RCVBUFFORCE = 33
EXT_HEADERS = {0, 43, 60, 135}  # IPv6: hop-by-hop, routing, destination options, mobility


def wait_for(s, seconds):
    """Is there something to read within that time? By poll(2): the process may have more than 1,024 descriptors."""
    p = select.poll()
    p.register(s, select.POLLIN)
    return bool(p.poll(max(0, seconds) * 1000))


def ones_sum(data, total=0):
    if len(data) % 2:
        data += b"\0"
    total += sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


class Packet:
    """One IPv4 or IPv6 packet. `l4` is what follows the IP headers; a later fragment has no L4 ports."""

    def __init__(self, ip, not_ready=False):
        self.ip, self.not_ready = ip, not_ready
        self.sport = self.dport = self.flags = self.type = self.code = None
        self.version = ip[0] >> 4
        if self.version == 4:
            self._ipv4()
        else:
            self._ipv6()
        self.data = b""
        if self.offset == 0 and self.proto in (6, 17) and len(self.l4) >= 8:
            self.sport, self.dport = struct.unpack("!HH", self.l4[:4])
            if self.proto == 17:
                self.data = self.l4[8:]
            elif len(self.l4) >= 20:
                self.seq, self.ack = struct.unpack("!II", self.l4[4:12])
                self.flags = self.l4[13]
                self.options = self.l4[20:(self.l4[12] >> 4) * 4]
                self.data = self.l4[(self.l4[12] >> 4) * 4:]
        elif self.proto in (1, 58) and self.offset == 0 and len(self.l4) >= 8:
            self.type, self.code = self.l4[0], self.l4[1]
            self.rest = struct.unpack("!I", self.l4[4:8])[0]
            self.data = self.l4[8:]

    def _ipv4(self):
        ip = self.ip
        self.head_len = (ip[0] & 15) * 4
        self.tos, total, self.id, frag, self.ttl, self.proto = struct.unpack("!BHHHBB", ip[1:10])
        self.total = total or len(ip)
        self.src, self.dst = socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20])
        self.df, self.mf, self.offset = bool(frag & 0x4000), bool(frag & 0x2000), (frag & 0x1fff) * 8
        self.l4 = ip[self.head_len:self.total]
        self.padding = ip[self.total:]

    def _ipv6(self):
        ip = self.ip
        self.tos = (struct.unpack("!H", ip[:2])[0] >> 4) & 255
        total, self.proto, self.ttl = struct.unpack("!HBB", ip[4:8])
        self.total = total + 40 if total else len(ip)
        self.src, self.dst = (socket.inet_ntop(socket.AF_INET6, ip[n:n + 16]) for n in (8, 24))
        self.df, self.mf, self.offset, self.id = True, False, 0, 0
        at = 40
        while self.proto in EXT_HEADERS and at + 8 <= len(ip):
            self.proto, at = ip[at], at + (ip[at + 1] + 1) * 8
        if self.proto == 44 and at + 8 <= len(ip):
            self.proto, frag, self.id = ip[at], *struct.unpack("!HI", ip[at + 2:at + 8])
            self.mf, self.offset, at = bool(frag & 1), frag & 0xfff8, at + 8
        self.head_len = at
        self.l4 = ip[at:self.total]
        self.padding = ip[self.total:]

    def fragment(self):
        return self.mf or self.offset > 0

    def pseudo(self):
        if self.version == 4:
            return self.ip[12:20] + struct.pack("!BBH", 0, self.proto, len(self.l4) & 0xffff)
        return self.ip[8:40] + struct.pack("!IHBB", len(self.l4), 0, 0, self.proto)

    def ip_ok(self):
        return self.version == 6 or ones_sum(self.ip[:self.head_len]) == 0xffff

    def l4_ok(self):
        """Right, or left to an offload with the right start. Fragments are not judged."""
        at = {6: 16, 17: 6}.get(self.proto)
        if self.fragment() or self.proto not in (1, 6, 17, 58):
            return True
        if at is None:
            return ones_sum((self.pseudo() if self.version == 6 else b"") + self.l4) == 0xffff
        if self.proto == 17 and self.l4[6:8] == b"\0\0":
            return self.version == 4
        if self.not_ready:
            return struct.unpack("!H", self.l4[at:at + 2])[0] == ones_sum(self.pseudo())
        return ones_sum(self.pseudo() + self.l4) == 0xffff

    def ok(self):
        return self.ip_ok() and self.l4_ok()

    def __str__(self):
        more = "" if self.sport is None else ":%d > :%d" % (self.sport, self.dport)
        if self.flags is not None:
            more += " flags %02x seq %d ack %d" % (self.flags, self.seq, self.ack)
        if self.fragment():
            more += " fragment at %d%s" % (self.offset, "+" if self.mf else "")
        return "%s > %s proto %d %s ttl %d len %d" % (self.src, self.dst, self.proto, more.strip(),
                                                     self.ttl, self.total)


class Tap:
    """What arrives at an interface from now on (with out=True: also what leaves by it)."""

    def __init__(self, net, ns, dev="eth0", out=False):
        with net.inside(ns):
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
            if not out:
                self.s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.s.bind((dev, 0))
        self.s.setblocking(False)
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def poll(self, seconds=0.0):
        """Read what there is; wait for something that long."""
        got = []
        if seconds:
            wait_for(self.s, seconds)
        while True:
            try:
                frame, control, _, _ = self.s.recvmsg(1 << 17, 128)
            except BlockingIOError:
                return got
            ethertype = frame[12:14]
            if (ethertype == b"\x08\0" and len(frame) >= 34) or \
                    (ethertype == b"\x86\xdd" and len(frame) >= 54):
                status = struct.unpack("I", control[0][2][:4])[0] if control else 0
                p = Packet(frame[14:], bool(status & CSUM_NOT_READY))
                p.mac_src, p.mac_dst = frame[6:12], frame[:6]
                self.seen.append(p)
                got.append(p)

    def wait(self, want, seconds=2.0):
        """The first packet (from now or before) that `want` says yes to; None."""
        end, looked = time.monotonic() + seconds, 0
        while True:
            for p in self.seen[looked:]:
                looked += 1
                if want(p):
                    self.seen.remove(p)
                    return p
            left = end - time.monotonic()
            if left <= 0 and not self.poll():
                return None
            self.poll(max(left, 0))

    def all(self, want, seconds=0.3):
        """All that `want` says yes to, until none has come for that long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if any(want(p) for p in self.poll(end - time.monotonic())):
                end = time.monotonic() + seconds
        found = [p for p in self.seen if want(p)]
        self.seen = [p for p in self.seen if not want(p)]
        return found


class Sender:
    """Puts packets (scapy layers or bytes, without Ethernet header) on a link."""

    def __init__(self, net, ns, dev, peer):
        with net.inside(ns):
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.s.bind((dev, 0))
        self.head = bytes.fromhex((net.macs[peer] + net.macs[ns, dev]).replace(":", ""))

    def __call__(self, packet, pad=b""):
        raw = bytes(packet)
        frame = self.head + (b"\x08\0" if raw[0] >> 4 == 4 else b"\x86\xdd") + raw + pad
        for _ in range(200):
            try:
                self.s.send(frame)
                return
            except OSError as e:  # the receiver is behind
                if e.errno != errno.ENOBUFS:
                    raise
                time.sleep(0.005)
        self.s.send(frame)

    def frame(self, raw):
        self.s.send(raw)

    def superpacket(self, packet, gso_size):
        """A TCP or UDP packet (no options, no extension headers) for a device to cut into segments of gso_size bytes
        of payload, as a socket hands it down: the checksum field has the sum of the pseudo-header."""
        raw = bytearray(bytes(packet))
        p = Packet(bytes(raw))
        at, l4_len = (16, (raw[p.head_len + 12] >> 4) * 4) if p.proto == 6 else (6, 8)
        raw[p.head_len + at:p.head_len + at + 2] = struct.pack("!H", ones_sum(p.pseudo()))
        kind = 5 if p.proto == 17 else 1 if p.version == 4 else 4  # VIRTIO_NET_HDR_GSO_UDP_L4, TCPV4, TCPV6
        head = struct.pack("<BBHHHH", 1, kind, 14 + p.head_len + l4_len, gso_size, 14 + p.head_len, at)
        self.s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        try:
            self.s.send(head + self.head + (b"\x08\0" if p.version == 4 else b"\x86\xdd") + bytes(raw))
        finally:
            self.s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 0)
