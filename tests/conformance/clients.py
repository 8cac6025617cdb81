#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""clients.py - programs of others through the service: each says by itself whether the network is right.

  clients.py [--cells NAME,...] [--only PATTERN] [--kernel]

STUN (coturn) judges mapping, filtering, hairpin and lifetime; nginx and wrk, dnsperf and dig with
unbound, FTP in passive mode, QUIC (ngtcp2), traceroute, mtr and tracepath do their work; nmap scans from
outside. Servers stand at o1 and o2 (net.py). A program that is not installed is skipped, and said so;
with XE_STRICT=1 (make check-long) that fails, but for what the distribution does not have.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import net as n  # noqa: E402
import table  # noqa: E402
from cases import MODULES  # noqa: E402,F401
from service import SLOW, Service  # noqa: E402
from wire import Tap  # noqa: E402

CLIENTS = []
STUN_EI = "203.0.113.140"  # a STUN server toward which the filter is endpoint-independent
RULES = [
    ("filter-ei", "masquerade udp from %s to %s/32 out eth0 ports 20000-29999 filter endpoint-independent" % (
        n.INSIDE, STUN_EI)),
    ("", "masquerade from %s out eth0 ports 20000-29999" % n.INSIDE),
    ("ipv6", "masquerade from %s to 2000::/3 out eth0 ports 20000-29999" % n.INSIDE_6),
]


class Skip(Exception):
    pass


def may_skip(what):
    """Not everything is in every distribution (tools/deps.sh, check_quic)."""
    if os.environ.get("XE_STRICT", "0") in ("", "0"):
        return True
    return what == "quic_ngtcp2" and not (shutil.which("apt-cache") and subprocess.run(
        ("apt-cache", "show", "ngtcp2-client"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0)


def client(*needs, rule=None):
    def add(run):
        CLIENTS.append((run.__name__, needs, rule, run))
        return run
    return add


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def listening(net, ns, proto, port, seconds=8):
    end = time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        if net.on(ns, "ss", "-Hln", "--" + proto, "sport = :%d" % port):
            return
        time.sleep(0.05)
    raise AssertionError("no server listens on %s port %d" % (proto, port))


def put(net, name, text):
    path = os.path.join(net.tmp, name)
    with open(path, "w") as f:
        f.write(text)
    return path


# ---- STUN: what kind of NAT is this?

def stun(net, *options, server=n.O1A):
    # It ends by itself after its tests; a test without an answer waits for some seconds.
    out = net.on("c1", "timeout", "40", "turnutils_natdiscovery", *options, "-L", n.C1, server, check=False, timeout=60)
    return out


def turnserver(net, ns, first, second):
    if ns not in net.turn:
        net.turn[ns] = net.start(ns, "turnserver", "-n", "--listening-ip=" + first, "--listening-ip=" + second,
                                 "--listening-port=3478", "--alt-listening-port=3479", "--stun-only", "--no-tls",
                                 "--no-dtls", "--no-cli", "--log-file=stdout",
                                 "--pidfile=" + os.path.join(net.tmp, "turn.%s.pid" % ns), log="turn.%s.log" % ns)
        listening(net, ns, "udp", 3479)
        time.sleep(0.3)


@client("turnserver", "turnutils_natdiscovery")
def stun_mapping(net, service):
    turnserver(net, "o1", n.O1A, n.O1B)
    out = stun(net, "-m")
    check("Endpoint Independent Mapping" in out, "natdiscovery says: " + out[-200:])


@client("turnserver", "turnutils_natdiscovery")
def stun_filtering(net, service):
    turnserver(net, "o1", n.O1A, n.O1B)
    out = stun(net, "-f")
    check("Address and Port Dependent Filtering" in out, "natdiscovery says: " + out[-200:])


@client("turnserver", "turnutils_natdiscovery", rule="filter-ei")
def stun_filtering_option(net, service):
    turnserver(net, "o2", n.O2A, n.O2B)
    out = stun(net, "-f", server=STUN_EI)
    check("Endpoint Independent Filtering" in out, "natdiscovery says: " + out[-200:])


@client("turnserver", "turnutils_natdiscovery", rule="filter-ei")
def stun_hairpin(net, service):
    turnserver(net, "o2", n.O2A, n.O2B)
    out = stun(net, "-H", server=STUN_EI)
    check("successful hairpinning" in out, "natdiscovery says: " + out[-200:])


@client("turnserver", "turnutils_natdiscovery")
def stun_lifetime(net, service):
    turnserver(net, "o1", n.O1A, n.O1B)
    out = stun(net, "-t", "-T", "5")
    # The second answer is for the mapping of the first, 5 s later.
    check("response 2" in out and "timeout" not in out, "natdiscovery says: " + out[-200:])


# ---- HTTP

def nginx(net):
    if not net.servers.get("nginx"):
        www = os.path.join(net.tmp, "www")
        os.makedirs(www, exist_ok=True)
        with open(os.path.join(www, "small"), "wb") as f:
            f.write(os.urandom(20000))
        key, cert = (os.path.join(net.tmp, x) for x in ("key.pem", "cert.pem"))
        n.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
              key, "-out", cert, "-days", "2", "-subj", "/CN=o1")
        conf = put(net, "nginx.conf", """user root; daemon off; master_process off; pid %(t)s/nginx.pid;
error_log %(t)s/nginx.err; events { worker_connections 2048; }
http { access_log off; keepalive_requests 100000; sendfile on; %(tmp)s
  server { listen 80 backlog=1024; listen [::]:80; root %(t)s/www; }
  server { listen 443 ssl http2; ssl_certificate %(t)s/cert.pem; ssl_certificate_key %(t)s/key.pem; root %(t)s/www; } }
""" % dict(t=net.tmp, tmp=" ".join("%s_temp_path %s/%s;" % (x, net.tmp, x) for x in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))))
        net.servers["nginx"] = net.start("o1", "nginx", "-c", conf, "-e", os.path.join(net.tmp, "nginx.err"), log="nginx.log")
        listening(net, "o1", "tcp", 443)


@client("nginx", "wrk", "openssl")
def http_wrk(net, service):
    nginx(net)
    out = net.on("c1", "wrk", "-t1", "-c50", "-d3", "http://%s/small" % n.O1A)
    m = re.search(r"(\d+) requests in", out)
    check(m and int(m[1]) > 100 and "Socket errors" not in out and "Non-2xx" not in out, out[-300:])


@client("nginx", "wrk", "openssl", rule="ipv6")
def http_wrk_ipv6(net, service):
    nginx(net)
    out = net.on("c1", "wrk", "-t1", "-c20", "-d2", "http://[%s]/small" % n.O1A_6)
    m = re.search(r"(\d+) requests in", out)
    check(m and int(m[1]) > 100 and "Socket errors" not in out and "Non-2xx" not in out, out[-300:])


@client("nginx", "curl", "openssl")
def https_http2_curl(net, service):
    nginx(net)
    with open(os.path.join(net.tmp, "www/small"), "rb") as f:
        wanted = f.read()
    for ns in ("c1", "c2"):
        got = subprocess.run(net.argv(ns, "curl", "-sSk", "--http2", "-m", "10", "https://%s/small" % n.O1A),
                             stdout=subprocess.PIPE, timeout=20).stdout
        check(got == wanted, "%s got %d of %d bytes" % (ns, len(got), len(wanted)))


# ---- DNS

def unbound(net):
    if not net.servers.get("unbound"):
        conf = put(net, "unbound.conf", """server:
  directory: "%(t)s"
  pidfile: "%(t)s/unbound.pid"
  chroot: ""
  username: ""
  use-syslog: no
  do-daemonize: no
  interface: %(a)s
  access-control: 0.0.0.0/0 allow
  incoming-num-tcp: 200
  max-udp-size: 4096
  edns-buffer-size: 4096
  module-config: "iterator"
  local-zone: "test." static
  local-data: "www.test. A 192.0.2.80"
  local-data: "www.test. AAAA 2001:db8::80"
  local-data: 'long.test. TXT "%(long)s"'
""" % dict(t=net.tmp, a=n.O1A, long='" "'.join(["x" * 200] * 15)))
        net.servers["unbound"] = net.start("o1", "unbound", "-d", "-c", conf, log="unbound.log")
        listening(net, "o1", "udp", 53)


@client("unbound", "dig")
def dns_dig(net, service):
    unbound(net)
    for ns in ("c1", "c2"):
        for option in ("+notcp", "+tcp"):
            out = net.on(ns, "dig", "@" + n.O1A, "www.test", "A", "+short", "+tries=3", "+time=2", option)
            check(out.strip() == "192.0.2.80", "%s %s: %s" % (ns, option, out))
    # An answer larger than a datagram should be: cut, and asked again by TCP; and in fragments where allowed.
    out = net.on("c1", "dig", "@" + n.O1A, "long.test", "TXT", "+short", "+bufsize=1232", "+tries=3", "+time=2")
    check(out.count("x" * 200) == 15, "TXT by TCP: %d bytes" % len(out))


@client("unbound", "dig")
def dns_answer_in_fragments(net, service):
    unbound(net)
    out = net.on("c2", "dig", "@" + n.O1A, "long.test", "TXT", "+short", "+bufsize=4096", "+ignore", "+tries=3", "+time=2",
                 check=False)
    check(out.count("x" * 200) == 15, "TXT by a datagram of 3,000 bytes: %d bytes" % len(out))


@client("unbound", "dnsperf")
def dns_dnsperf(net, service):
    unbound(net)
    queries = put(net, "queries", "www.test A\nwww.test AAAA\nnone.test A\n")
    for mode, clients in (("udp", "20"), ("tcp", "10")):
        out = net.on("c1", "dnsperf", "-s", n.O1A, "-m", mode, "-d", queries, "-l", "2", "-c", clients, "-Q", "2000", "-q",
                     "50", "-t", "2")
        m = re.search(r"Queries completed:\s+(\d+)", out)
        lost = re.search(r"Queries lost:\s+(\d+)", out)
        check(m and int(m[1]) > 200 and lost and int(lost[1]) <= int(m[1]) // 200, "%s: %s" % (mode, out[-400:]))


# ---- FTP, passive

FTPD = """
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
a = DummyAuthorizer()
a.add_anonymous(sys.argv[2], perm="elradfmw")
FTPHandler.authorizer = a
FTPServer((sys.argv[1], 21), FTPHandler).serve_forever()
"""


def pyftpdlib():
    return subprocess.run(("/usr/bin/python3", "-c", "import pyftpdlib"), stderr=subprocess.DEVNULL).returncode == 0


@client("curl")
def ftp_passive(net, service):
    if not pyftpdlib():
        raise Skip("no python3-pyftpdlib")
    root = os.path.join(net.tmp, "ftp")
    os.makedirs(root, exist_ok=True)
    data = os.urandom(500000)
    with open(os.path.join(root, "file"), "wb") as f:
        f.write(data)
    net.start("o1", "/usr/bin/python3", put(net, "ftpd.py", FTPD), n.O1A, root, log="ftpd.log")
    listening(net, "o1", "tcp", 21)
    for option in ("--ftp-pasv", "--disable-epsv"):
        got = subprocess.run(net.argv("c1", "curl", "-sS", "-m", "15", option, "ftp://%s/file" % n.O1A),
                             stdout=subprocess.PIPE, timeout=30).stdout
        check(got == data, "download (%s): %d of %d bytes" % (option, len(got), len(data)))
    net.on("c2", "curl", "-sS", "-m", "15", "-T", os.path.join(root, "file"), "ftp://%s/up" % n.O1A)
    with open(os.path.join(root, "up"), "rb") as f:
        check(f.read() == data, "upload differs")


# ---- QUIC

@client("gtlsclient", "gtlsserver", "openssl")
def quic_ngtcp2(net, service):
    nginx(net)
    net.start("o1", "gtlsserver", "-q", "-d", os.path.join(net.tmp, "www"), n.O1A, "4433",
              os.path.join(net.tmp, "key.pem"), os.path.join(net.tmp, "cert.pem"), log="quic.log")
    listening(net, "o1", "udp", 4433)
    with open(os.path.join(net.tmp, "www/small"), "rb") as f:
        wanted = f.read()
    for ns in ("c1", "c2"):
        to = os.path.join(net.tmp, "quic." + ns)
        os.makedirs(to, exist_ok=True)
        out = net.on(ns, "timeout", "15", "gtlsclient", "-q", "--exit-on-all-streams-close", "--download=" + to,
                     n.O1A, "4433", "https://%s:4433/small" % n.O1A, check=False, timeout=30)
        try:
            with open(os.path.join(to, "small"), "rb") as f:
                got = f.read()
        except OSError:
            got = b""
        check(got == wanted, "%s got %d of %d bytes: %s" % (ns, len(got), len(wanted), out[-200:]))


# ---- the way

@client("traceroute")
def way_traceroute(net, service):
    for option in ("-I", "-U", "-T"):
        out = net.on("c1", "traceroute", "-n", "-q", "1", "-w", "2", "-m", "6", option, n.O1A)
        hops = [ln.split()[1] for ln in out.splitlines()[1:] if ln.strip()]
        check(hops[1:] == [n.GW, n.O1A], "%s: hops %s" % (option, hops))


@client("mtr")
def way_mtr(net, service):
    for option in ((), ("--udp",), ("--tcp",)):
        out = net.on("c2", "mtr", "-n", "-r", "-c", "2", "-i", "0.3", "-G", "1", *option, n.O1A)
        hops = [ln.split()[1] for ln in out.splitlines() if "|--" in ln]
        check(hops[1:3] == [n.GW, n.O1A], "%s: hops %s" % (" ".join(option) or "icmp", hops))


@client("tracepath")
def way_tracepath(net, service):
    out = net.on("c1", "tracepath", "-n", "-m", "6", n.O2B)
    check(re.search(r"pmtu %d" % n.SMALL_MTU, out), "path MTU not found: " + out[-300:])
    check(n.GW in out, "the router is not named: " + out[-300:])


# ---- from outside

@client("nmap")
def outside_nmap(net, service):
    c = net.start("c1", "curl", "-s", "-m", "30", "http://%s:81/" % n.O1A)  # a flow that lives meanwhile
    tap = Tap(net, "r", "up0")
    out = net.on("o2", "nmap", "-sS", "-Pn", "-n", "--max-retries", "0", "--host-timeout", "20s", "--min-rate", "400",
                 "-p", "20000-20400,29600-29999", "--reason", n.EXT, timeout=60)
    states = set(re.findall(r"^\d+/tcp\s+(\S+)", out, re.M)) | set(re.findall(r"Not shown: \d+ (\S+)", out)) | set(
        re.findall(r"are in ignored states.\n.*?(\w+) tcp ports", out))
    check(states <= {"filtered"}, "nmap sees: %s\n%s" % (states, out[-300:]))
    resets = [str(p) for p in tap.all(lambda p: p.proto == 6 and p.flags is not None and p.flags & 4 and
                                      p.src == n.EXT, 0.2)]
    check(not resets, "the host resets: %s" % resets[:2])
    check("filtered" in out, "nmap said: " + out[-300:])
    net.stop(c)
    out = net.on("o2", "nmap", "-sU", "-Pn", "-n", "--max-retries", "0", "--host-timeout", "20s", "--min-rate", "200", "-p",
                 "20000-20060", n.EXT, timeout=60)
    check(not re.search(r"^\d+/udp\s+(open |closed)", out, re.M) and "closed udp" not in out, "UDP: " + out[-300:])


def run_cell(name, args, missing):
    xdp, offload, workers = name.split("-")
    net = n.Net(offload=offload == "on", queues=int(workers))
    net.turn, net.servers = {}, {}
    failed = 0
    try:
        net.up()
        service = Service(net, xdp=xdp, workers=int(workers), kernel=args.kernel, rules=RULES)
        service.start()
        for what, needs, rule, run in CLIENTS:
            if args.only and not re.search(args.only, what):
                continue
            start, why, word = time.monotonic(), None, "ok"
            lack = [x for x in needs if not shutil.which(x)]
            try:
                if lack:
                    raise Skip("no " + ", ".join(lack))
                if rule in service.refused:
                    raise AssertionError("refused: " + service.refused[rule])
                run(net, service)
            except Skip as e:
                skips = may_skip(what)
                print("%s client_%s [%s]%s %s" % ("ok" if skips else "not ok", what, name, " # skip" if skips else ":", e))
                failed += not skips
                continue
            except Exception as e:
                why = " ".join(str(e).split())[:400]
                word = "unmet" if "client_" + what in missing else "not ok"
            if not why and "client_" + what in missing:
                word, why = "not ok", "it passes, take it out of tests/conformance/unmet.txt"
            failed += word == "not ok"
            print("%s client_%s [%s]%s (%.1f s)" % (word, what, name, ": " + why if why else "", time.monotonic() - start),
                  flush=True)
        for what in service.complaints():
            print("not ok service [%s]: %s" % (name, what))
            failed += 1
    finally:
        net.down()
    return failed


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--cells", default="generic-on-1")
    a.add_argument("--only")
    a.add_argument("--kernel", action="store_true")
    args = a.parse_args()
    if os.geteuid() != 0:
        print("skip: needs root")
        return 77
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda s, _: sys.exit(128 + s))
    missing = table.unmet()
    return 1 if sum(run_cell(name, args, missing) for name in args.cells.split(",")) else 0


if __name__ == "__main__":
    sys.exit(main())
