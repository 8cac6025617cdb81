#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""craft.py - frames that no well-behaved stack would send, each kind with a name.

  craft.py build FILE KEY=VALUE...     make all kinds (scapy), one `NAME HEX` a line; keys:
      mac    Ethernet address of the sending container     gw     of the host's end
      wmac   of the internet's end of the uplink            hmac   of the host's end of it
      src    the container's address    other  another container's
      srv    a server                   ext    the host's outside address
      drop, kernel, norule, notport, blackhole    destinations that rules and routes single out
      extport  an L4 port that a live session owns
  craft.py send FILE INTERFACE NAME COUNT

What each is for stands beside it; the verdict is t_security.sh's.
"""
import socket
import sys


def kinds(a):
    from scapy.all import (ARP, Dot1Q, Ether, ICMP, IP, IPv6, Raw, TCP, UDP)

    def out(*layers, dst=a["gw"]):
        frame = Ether(src=a["mac"], dst=dst)
        for layer in layers:
            frame = frame / layer
        return frame

    def back(*layers):
        frame = Ether(src=a["wmac"], dst=a["hmac"])
        for layer in layers:
            frame = frame / layer
        return frame

    def ip(dst=a["srv"], src=a["src"], **more):
        return IP(src=src, dst=dst, **more)

    udp = UDP(sport=4000, dport=7001)
    syn = TCP(sport=4000, dport=9000, flags="S")
    load = Raw(b"xegress test payload")

    # From the container: sources.
    yield "spoof_neighbour", out(ip(src=a["other"]), syn)
    yield "spoof_unused", out(ip(src="10.1.0.99"), udp, load)
    yield "spoof_public", out(ip(src="192.0.2.200"), udp, load)
    yield "land", out(ip(dst=a["src"]), udp, load)
    # Destinations and headers that are the kernel's.
    yield "ttl_1", out(ip(ttl=1), udp, load)
    yield "spoof_ttl_1", out(ip(src=a["other"], ttl=1), udp, load)
    # 28 bytes are no multiple of 8; TCP's flags belong into the first one (RFC 1858).
    yield "fragment_first", out(ip(flags="MF", id=77), udp, load)
    yield "fragment_later", out(ip(frag=1, id=78, proto=6), load)
    yield "multicast", out(ip(dst="224.0.0.251"), udp, load, dst="01:00:5e:00:00:fb")
    yield "multicast_unicast_mac", out(ip(dst="239.1.2.3"), udp, load)
    yield "broadcast", out(ip(dst="255.255.255.255"), udp, load, dst="ff:ff:ff:ff:ff:ff")
    yield "link_local", out(ip(dst="169.254.169.254"), udp, load)
    yield "loopback", out(ip(dst="127.0.0.1"), udp, load)
    yield "local", out(ip(dst="10.1.0.1"), udp, load)
    yield "directed_broadcast", out(ip(dst="100.64.9.255"), udp, load)
    yield "icmp", out(ip(), ICMP(type=0, id=1), load)
    yield "ipv6", out(IPv6(src="2001:db8::2", dst="2001:db8::1"), udp, load)
    yield "not_ip", out(Raw(b"\0" * 60)), 0x88b5
    yield "vlan", out(Dot1Q(vlan=7), ip(), udp, load)
    yield "other_l2", out(ip(), udp, load, dst="02:00:00:00:00:77")
    yield "midflow", out(ip(), TCP(sport=4001, dport=9000, flags="A", seq=1, ack=1), load)
    # Rules and routes.
    yield "drop_rule", out(ip(dst=a["drop"]), udp, load)
    yield "kernel_rule", out(ip(dst=a["kernel"]), udp, load)
    yield "no_rule", out(ip(dst=a["norule"]), udp, load)
    yield "not_port", out(ip(dst=a["notport"]), udp, load)
    yield "blackhole", out(ip(dst=a["blackhole"]), udp, load)
    # Lengths that lie. 40 bytes of payload, so that the frame itself is no runt.
    more = Raw(b"m" * 40)
    yield "ihl_4", out(ip(ihl=4), udp, more)
    yield "ihl_beyond_frame", out(IP(src=a["src"], dst=a["srv"], ihl=15, proto=17, len=48),
                                  udp, Raw(b"m" * 20))
    yield "total_beyond_frame", out(ip(len=1400, proto=17), udp, more)
    yield "total_below_header", out(ip(len=19, proto=17), udp, more)
    yield "total_below_udp", out(ip(len=26, proto=17), udp, more)
    yield "tcp_offset_4", out(ip(), TCP(sport=4000, dport=9000, flags="S", dataofs=4), more)
    yield "tcp_offset_beyond", out(ip(), TCP(sport=4000, dport=9000, flags="S", dataofs=15))
    yield "tcp_cut", out(ip(len=36, proto=6), Raw(bytes(TCP(sport=4000, dport=9000))[:16]))
    yield "udp_len_7", out(ip(), UDP(sport=4000, dport=7001, len=7), more)
    yield "udp_len_beyond", out(ip(), UDP(sport=4000, dport=7001, len=900), more)
    # One wrong checksum: it has to stay wrong.
    yield "bad_checksum", out(ip(), UDP(sport=4002, dport=7001, chksum=0x1234), load)
    # From outside.
    yield "in_not_owned", back(IP(src=a["srv"], dst=a["ext"]), UDP(sport=7001, dport=28999), load)
    yield "in_private", back(IP(src=a["srv"], dst=a["src"]), UDP(sport=7001, dport=7009), load)
    yield "in_wrong_peer", back(IP(src=a["drop"], dst=a["ext"]),
                                UDP(sport=7001, dport=int(a["extport"])), load)
    yield "in_arp", back(ARP(psrc="198.51.100.200", pdst="198.51.100.201"))


def build(path, pairs):
    with open(path, "w") as f:
        for kind in kinds(dict(p.split("=", 1) for p in pairs)):
            frame = bytes(kind[1])
            if len(kind) > 2:
                frame = frame[:12] + kind[2].to_bytes(2, "big") + frame[14:]
            f.write("%s %s\n" % (kind[0], frame.hex()))


def send(path, interface, name, count):
    with open(path) as f:
        frames = dict(line.split() for line in f)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((interface, 0))
    for _ in range(int(count)):
        s.send(bytes.fromhex(frames[name]))


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "build":
        build(sys.argv[2], sys.argv[3:])
    elif len(sys.argv) == 6 and sys.argv[1] == "send":
        send(*sys.argv[2:])
    else:
        sys.exit(__doc__)
