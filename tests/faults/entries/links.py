# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""links.py - the network around the service changes: uplink, addresses, MTU, gateway, queues, CPUs."""
import os
import time

from table import fault
from world import EXT, GATEWAY, SLOW, wait_for, worker_threads

SECOND_EXT, SECOND_GATEWAY = "198.51.100.5", "198.51.100.3"


@fault(quick=True, hits=("c1", "c2", "many", "host"))
def carrier_flaps(w):
    """The uplink's carrier off and on three times, 0.3 s each."""
    for _ in range(3):
        w.on("w", "ip", "link", "set", "up0", "down")
        time.sleep(0.3)
        w.batch("w", ["link set up0 up", "route replace 10.1.0.0/16 via " + EXT])
        time.sleep(0.3)


@fault(hits=("c1", "c2", "many", "host"))
def uplink_down_up(w):
    """The uplink set down for a second, up, and its routes made again."""
    w.on("h", "ip", "link", "set", "eth0", "down")
    time.sleep(1)
    w.batch("h", ["link set eth0 up", "route replace default via " + GATEWAY])


@fault(lost=None, fresh=True, other=None)
def address_replaced(w):
    """The uplink's address replaced: flows of the old one end, new ones have the new one."""
    w.batch("h", ["addr del %s/24 dev eth0" % EXT, "addr add %s/24 dev eth0" % SECOND_EXT,
                  "route replace default via " + GATEWAY])
    w.on("w", "ip", "route", "replace", "10.1.0.0/16", "via", SECOND_EXT)


@fault(hits=("c1", "c2", "many", "host"), pause=500)
def address_added(w):
    """A second address on the uplink, and gone again: flows of the first one don't notice."""
    w.on("h", "ip", "addr", "add", SECOND_EXT + "/24", "dev", "eth0")
    time.sleep(0.5)
    w.on("h", "ip", "addr", "del", SECOND_EXT + "/24", "dev", "eth0")


@fault(hits=("c1", "c2", "many", "host"), pause=1000)
def mtu_changed(w):
    """The uplink's MTU 1400 at both ends for a second, and 1500 again."""
    w.on("h", "ip", "link", "set", "eth0", "mtu", "1400")
    w.on("w", "ip", "link", "set", "up0", "mtu", "1400")
    time.sleep(1)
    w.on("w", "ip", "link", "set", "up0", "mtu", "1500")
    w.on("h", "ip", "link", "set", "eth0", "mtu", "1500")


@fault(hits=("c1", "c2", "many", "host"))
def gateway_moved(w):
    """The default route to another gateway, then the first one with another Ethernet address."""
    w.on("w", "ip", "addr", "add", SECOND_GATEWAY + "/24", "dev", "up0")
    w.on("h", "ip", "route", "replace", "default", "via", SECOND_GATEWAY)
    time.sleep(0.5)
    w.on("h", "ip", "route", "replace", "default", "via", GATEWAY)
    w.on("w", "ip", "addr", "del", SECOND_GATEWAY + "/24", "dev", "up0")
    time.sleep(0.5)
    w.on("w", "ip", "link", "set", "up0", "address", "02:00:00:00:00:77")  # announced: arp_notify


@fault(hits=("c1", "c2", "many", "host"), queues=2)
def queues_added(w):
    """The uplink's queues from 2 to 4, by ethtool. (Fewer are refused by the kernel: AF_XDP.)"""
    w.on("w", "ethtool", "-L", "up0", "tx", 4)
    w.on("h", "ethtool", "-L", "eth0", "rx", 4, "tx", 4)
    w.on("w", "ethtool", "-L", "up0", "rx", 4)


def eighty_ports_more(w):
    """c7, whose veth can have four queues, and others that the service has to look after."""
    w.make_container("c7", queues=4)
    w.batch("h", ["link add vq%d type veth peer name q%d netns %s-c1" % (n, n, w.space.id)
                  for n in range(80)] + ["link set vq%d up" % n for n in range(80)])


@fault(hits=("queues",), fresh=True, prepare=eighty_ports_more)
def queues_added_inside(w):
    """A container's queues from 1 to 4, by ethtool, one port of 84."""
    w.session.add("queues", "c7", ("-c", 16, "-u", 8, "-r", 500, "-l", 50))
    wait_for("the load", 5 * SLOW, lambda: w.session.running["queues"].said("ready"))
    w.on("c7", "ethtool", "-L", "eth0", "rx", 4)
    w.on("h", "ethtool", "-L", "vc7", "rx", 4, "tx", 4)
    w.on("c7", "ethtool", "-L", "eth0", "tx", 4)


@fault()
def cpu_taken_away(w):
    """The worker's CPU taken from it: it has to run on another one, and may come back."""
    tid = worker_threads(w.service.pid)[0]
    os.sched_setaffinity(tid, set(os.sched_getaffinity(0)) - os.sched_getaffinity(tid))
    time.sleep(1)


@fault()
def neighbours_flushed(w):
    """The host's neighbour table emptied, five times."""
    for _ in range(5):
        w.on("h", "ip", "neigh", "flush", "all")
        time.sleep(0.1)
