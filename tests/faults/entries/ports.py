# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ports.py - ports that come and go: by command, with their container, with its namespace.

c2 and the host have nothing to do with it and must not notice.
"""
import time

from table import fault
from world import DOOMED_PORT, SLOW, wait_for


def attached(w, dev):
    return any(p["name"] == dev and p["state"] == "attached" for p in w.json("port", "list")["ports"])


@fault(quick=True, hits=(), other=300)
def others_port_del_add(w):
    """The port of a third container taken out and added again, five times."""
    w.make_container("c8")
    wait_for("port vc8", 2 * SLOW, lambda: attached(w, "vc8"))
    for _ in range(5):
        w.ctl("port", "add", "vc8", "inside", "allow", "10.1.8.2/32")
        w.ctl("port", "del", "vc8")
    w.kill_container("c8")


@fault(hits=(), other=300)
def containers_come_and_go(w):
    """Ten containers made, used, and destroyed."""
    for n in range(20, 30):
        w.make_container("c%d" % n)
    for n in range(20, 30):
        wait_for("a ping of c%d" % n, 2 * SLOW,
                 lambda n=n: w.try_on("c%d" % n, "ping", "-c", "1", "-W", "1", "203.0.113.1"))
        w.kill_container("c%d" % n)


@fault(hits=("victim",), lost=None, heal=None, other=300)
def netns_killed(w):
    """A container killed with its namespace while its load runs."""
    w.make_container("c9")
    w.session.add("victim", "c9", ("-c", 4, "-u", 2, "-r", 500, "-l", 50), DOOMED_PORT)
    wait_for("the victim's load", 5 * SLOW, lambda: w.session.running["victim"].said("ready"))
    w.session.drop("victim")
    w.kill_container("c9")


@fault(hits=("c1", "many"), heal=1000)
def veth_down_up(w):
    """A container's veth down for a second, and up."""
    w.on("h", "ip", "link", "set", "vc1", "down")
    time.sleep(1)
    w.batch("h", ["link set vc1 up", "route replace 10.1.1.2/32 dev vc1"])


@fault(hits=("c1", "many"), pause=400, heal=400)
def port_renamed(w):
    """A container's veth gets another name of the same entry, as it runs, and its own again."""
    w.batch("h", ["link set vc1 name vy1"])
    wait_for("port vy1", 2 * SLOW, lambda: attached(w, "vy1"))
    time.sleep(0.5)
    w.batch("h", ["link set vy1 name vc1"])
    wait_for("port vc1", 2 * SLOW, lambda: attached(w, "vc1"))


@fault(hits=("c1", "many"), lost=None)
def port_renamed_away(w):
    """A container's veth gets a name that no entry matches: no port any more; and its own again."""
    w.batch("h", ["link set vc1 name x1"])
    time.sleep(1)
    w.batch("h", ["link set x1 name vc1"])
    wait_for("port vc1", 2 * SLOW, lambda: attached(w, "vc1"))
