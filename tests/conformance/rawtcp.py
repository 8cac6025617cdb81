# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""rawtcp.py - a TCP connection whose both ends are the test: each segment is as the test wants it."""
import net as n
from bench import check, same
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class RawTcp:
    """`cnext`, `snext`: the next sequence number of container and server; windows are 64000."""

    def __init__(self, t, ns="c1", caddr=None, server="o1", saddr=n.O1A, sport=None, cport=None):
        self.t, self.ns, self.server, self.saddr = t, ns, server, saddr
        self.caddr = caddr or {"c1": n.C1, "c2": n.C2}[ns]
        self.cport = cport or t.port("raw_client")
        self.sport = sport or t.port("raw_server")
        self.out, self.back = t.tap(server), t.tap(ns)
        self.ext = None
        self.cnext, self.snext = 1000000, 7000000

    def close(self):
        """Taps off: a test with thousands of connections."""
        for tap in (self.out, self.back):
            tap.s.close()
            self.t.open.remove(tap.s)

    def up(self, flags, data=b"", seq=None, ack=None, **more):
        """Container to server; does not wait."""
        self.t.put(self.ns, IP(src=self.caddr, dst=self.saddr) / TCP(
            sport=self.cport, dport=self.sport, flags=flags, seq=self.cnext if seq is None else seq,
            ack=self.snext if ack is None else ack, window=64000, **more) / Raw(data))

    def down(self, flags, data=b"", seq=None, ack=None, ns=None, **more):
        """Server to Ext; does not wait. ns="r": as from any place of the internet."""
        self.t.put(ns or self.server, IP(src=self.saddr, dst=self.ext[0]) / TCP(
            sport=self.sport, dport=self.ext[1], flags=flags, seq=self.snext if seq is None else seq,
            ack=self.cnext if ack is None else ack, window=64000, **more) / Raw(data))

    def at_server(self, flags, seconds=2.0, data=None):
        """The segment with these flags that comes out at the server, or None."""
        return self.out.wait(lambda p: p.proto == 6 and p.dport == self.sport and p.flags == flags and (
            self.ext is None or (p.src, p.sport) == self.ext) and (
            data is None or p.data == data), seconds)

    def at_container(self, flags, seconds=2.0, data=None):
        return self.back.wait(lambda p: p.proto == 6 and p.dport == self.cport and p.sport == self.sport
                              and p.flags == flags and (data is None or p.data == data), seconds)

    def handshake(self):
        for _ in range(3):
            self.up(SYN, ack=0)
            p = self.at_server(SYN, 1)
            if p:
                break
        check(p, "the SYN did not come out")
        check(p.ok(), "checksum of the SYN: %s" % p)
        self.ext = (p.src, p.sport)
        self.cnext += 1
        self.down(SYN | ACK)
        self.snext += 1
        check(self.at_container(SYN | ACK), "the SYN-ACK did not arrive")
        self.up(ACK)
        check(self.at_server(ACK), "the ACK did not come out")
        return self

    def speaks(self, why):
        """Data passes both ways, unchanged, by the same Ext endpoint."""
        word = b"up%d" % self.cnext
        self.up(PSH | ACK, word)
        p = self.at_server(PSH | ACK, data=word)
        check(p, why + ": data out did not arrive")
        check(p.ok(), why + ": checksum of %s" % p)
        same(why + ": seq, ack", (p.seq, p.ack), (self.cnext, self.snext))
        self.cnext += len(word)
        word = b"down%d" % self.snext
        self.down(PSH | ACK, word)
        p = self.at_container(PSH | ACK, data=word)
        check(p, why + ": data back did not arrive")
        check(p.ok(), why + ": checksum of %s" % p)
        self.snext += len(word)
