/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ctl_abi.h - the control protocol between xegressd and xegressctl (or a script of yours).
 *
 * A unix stream socket, RUNDIR/ctl.sock. Both sides send lines: one JSON object, one '\n'. A client
 * may send several requests on one connection; they are answered one after the other.
 *
 *   request  {"v": 1, "verb": "port add", "args": ["veth1", "inside"], "options": {...}}
 *   answer   {"part": {...}}                        0..n lines, only from verbs that stream
 *            {"ok": true, "result": {...}}          the last line, or
 *            {"ok": false, "error": "one line", "code": 1}
 *
 * `args` are the words of the command line in their order, all strings; `args` and `options` may be
 * left out. `code` is what xegressctl exits with: 1 not done, 2 the request itself was wrong.
 * Unknown members of any object are ignored by both sides: new ones may be added within v 1.
 *
 * Roles (SO_PEERCRED at connect): uid 0 and the service's own uid may do everything; members of the
 * socket's group may use the verbs that only show; anybody else gets a refusal.
 *
 * Types below: `n` a non-negative integer, `s` a string, `b` true or false, `|null` where the
 * member may be null, `?` after a name where it may be missing. Names of ports are interface names.
 * An endpoint is "A.B.C.D:PORT" or "[IPv6]:PORT". Numbers in "_s" are seconds, "_ms" milliseconds.
 *
 *
 * VERBS THAT SHOW
 *
 *   status       {"version": s, "pid": n, "uptime_s": n, "config": s|null,
 *                 "in_force": b, "why": [s...],
 *                 "wait": "adaptive|busy|interrupt", "on_stop": "handback|clean",
 *                 "flows": {"count": n, "limit": n}, "rules": {"count": n, "in_force": n},
 *                 "workers": [WORKER...], "ports": [PORT...],
 *                 "safety_net": {"state": "in place|absent|failed", "table": s, "why": s|null},
 *                 "notes": [s...]}
 *       `in_force`: every configured port and rule does what the configuration says; `why` has one
 *       line for each that does not ("port eth7: waiting: no such interface"). A missing optional
 *       feature (zero-copy, dispatcher) is a note. "config" is the file the service was started
 *       with.
 *     WORKER     {"id": n, "cpu": n, "node": n, "state": "running|stalled",
 *                 "wait": "adaptive|busy|interrupt", "checksum": "avx2|sse2|scalar", "flows": n}
 *     PORT       {"name": s, "entry": s, "role": "inside|uplink",
 *                 "state": "attached|waiting|failed", "why": s|null,
 *                 "allow": [prefix...], "ifindex": n|null, "mtu": n|null, "queues": n|null,
 *                 "xdp": "native|generic"|null, "attach": "dispatcher|plain"|null,
 *                 "prog_id": n|null, "zero_copy": b|null,
 *                 "superpackets": b|null, "superpackets_why": s|null, "rps": b|null,
 *                 "superpackets_out": s|null,
 *                 "checksum": "device|worker"|null, "checksum_why": s|null, "worker": n|null,
 *                 "workers": [n...]|null}
 *       `entry`: the name or glob of the configuration that caught it. Members that only an
 *       attached port has are null elsewhere. `superpackets_why` says why they are not kept;
 *       `superpackets_out` which of them the device takes whole: "none", or of "tcp" ("tcp4",
 * "tcp6" where it is one family's only) and "udp" what it does; the kernel cuts the others. `rps`:
 * what arrives is received off the CPUs of workers, by our setting. `worker` is the id of its
 * owner, `workers` of all that have a queue of it (an uplink with several). An entry with a glob
 * that has caught nothing is no PORT. `checksum`: who completes what leaves here with its checksum
 * left to an offload; `checksum_why`: why not the device. In WORKER it is how the worker sums.
 *
 *   port list    {"ports": [PORT...]}
 *
 *   rule list    streams RULE, first rule first; result {"count": n}
 *     RULE       {"number": n, "text": s, "in_force": b, "why": s|null, "flows"?: n}
 *       `number` counts from 1. `text` is canonical: fed to `rule add` or `rule del` it names the
 *       same rule. `flows` is how many live ones it carries.
 *
 *   config       {"text": s}        a file that loads to the running configuration
 *
 *   flow list    args FILTER; streams FLOW; result {"count": n}
 *   flow count   args FILTER; result {"count": n, "tcp": n, "udp": n, "limit": n}
 *     FILTER     [tcp|udp] [from PREFIX] [to PREFIX] [port NAME]  in any order, each at most once;
 *                `from` and `to` are the ends as the first packet had them, `port` either port
 *     FLOW       {"proto": "tcp|udp", "state": s, "rule": n|null, "worker": n,
 *                 "in": s, "src": endpoint, "dst": endpoint,
 *                 "out": s, "nat_src": endpoint, "nat_dst": endpoint,
 *                 "age_ms": n, "idle_ms": n, "expires_ms": n,
 *                 "packets": n, "bytes": n, "back_packets": n, "back_bytes": n}
 *       src, dst: of the first packet as it came in by port `in`; nat_src, nat_dst: as it left by
 *       port `out`. A reply comes back from nat_dst to nat_src. `packets` and `bytes` go that way,
 *       the `back_` ones the other. `rule` is null once the rule that started it is gone. States:
 *       tcp "opening|established|closing", udp "open".
 *       The table lives while it is read: flows that start or end meanwhile may or may not show.
 *
 *   drops        {"reasons": [{"reason": s, "at": "steer|worker",
 *                              "class": "take|pass|drop|punt", "count": n, "text": s}...]}
 *       All of reason.h in its order, those with count 0 too. `count` sums all ports or workers.
 *
 *   stats        {"workers": [{"cpu": n, "rx_packets": n, "handed_in": n, "made": n,
 *                              "tx_packets": n, "drops": {reason: n...}, "handed_out": n,
 *                              "merged": n, "to_kernel": n, "in_flight": n, more: n...}...],
 *                 "ports": [{"name": s, "seen": n, "passed": n, "dropped": n, "redirected": n,
 *                            "xsk_lost": n, more: n...}...]}
 *       Conservation (at rest): rx_packets + handed_in + made = tx_packets + sum of drops +
 *       handed_out + merged + to_kernel + in_flight; seen = passed + dropped + redirected.
 *
 *   check        {"ok": b, "checks": [{"name": s, "state": "ok|warn|fail", "text": s,
 *                                      "fix": s|null}...]}
 *       Host settings as the service's own start-up check sees them now; `ok` without a fail.
 *
 *   explain      args tcp|udp SOURCE:L4 DESTINATION:L4 [in PORT] [fragment] (IPv6 in brackets)
 *                {"carried": b, "verdict": s, "steer": s, "steps": [{"step": s, "ok": b, "text":
 * s}...], and what was found out on the way: "flow": as in flow list, "route": {"interface": s,
 * "next_hop": s, "mtu": n, "neighbour": s, "port": b}, "rule": {"number": n, "text": s}, "earlier":
 * [{"number": n, "text": s, "why": s}...], "translation": {"first": s, "last": s, "pool": [s...],
 * "addresses": n, "port_min": n, "port_max": n, "in_use": n}, "limits": {"sessions": n,
 * "sessions_max": n, "of_source": n, "of_source_max": n, "exempt": b}} `steer` is a name of
 * reason.h; `earlier` the last rules before `rule`, latest first; `pool` the pieces of the rule's
 * `source` (or one address), `in_use` on all.
 *
 *
 * VERBS THAT CHANGE. The answer comes when the thing is done (attached, live), or refused.
 *
 *   port add     args NAME inside|uplink [allow PREFIX,...] [xdp auto|native|generic]
 *                result {"port": PORT}
 *   port del     args NAME; result {"name": s}
 *   rule add     args [at NUMBER] RULE-WORDS...; without `at` it becomes the last;
 *                result {"rule": RULE}
 *   rule del     args NUMBER, or RULE-WORDS...; result {"rule": RULE} as it was
 *   apply        args NAME, options {"content": the file's text}
 *                result {"changes": [{"what": "port|rule|setting",
 *                                     "change": "added|removed|changed|moved", "text": s}...],
 *                        "warnings": [s...]}
 *       Only the difference to what runs is carried out. An error changes nothing; it reads
 *       "NAME:LINE: KEY: ...", NAME being the one that was sent.
 *   flow flush   args FILTER; result {"count": n}
 *   state export args [NAME]; result {"flows": n}
 *   state import args [NAME [sync]]; result {"flows": n, "adopted": n, "by_tags": n, "there": n,
 *                "over": n, "refused": n, "waiting": n}, with sync also {"updated": n, "ended": n}
 *       All flows with their mappings, as a file. It is memory (memfd_create) whose descriptor
 *       comes with the request (SCM_RIGHTS, with its first byte): written from its offset, or read,
 *       and then sealed against writing, growing and shrinking. NAME is for the audit line. Of the
 *       `flows` of the file so many were `adopted` at once (`by_tags` of them without owning their
 *       L4 port), were `there` already, are `over`, or were `refused` (a tuple is another flow's,
 *       no room); `waiting` are all that wait for a port to come up. With sync the file is another
 *       host's, and those of it before are followed: `updated` were here by one of these, `ended`
 *       are those of them that the file lacks, `there` are carried by this host and left alone,
 *       and masqueraded flows whose address is not here are `waiting`, too.
 */
#ifndef XEGRESS_CTL_ABI_H
#define XEGRESS_CTL_ABI_H

#define XE_CTL_VERSION     1
#define XE_CTL_RUN_DIR     "/run/xegress" /* where --run-dir does not say another */
#define XE_CTL_SOCKET_NAME "ctl.sock"

/* `code` of a refusal, and exit codes of xegressctl. */
#define XE_CTL_FAILED 1
#define XE_CTL_USAGE  2

/* Longest request line. `apply` carries a whole file: 16384 rules of 100 bytes, escaped, is under
 * half of it. Whoever may only look has nothing long to say. */
#define XE_CTL_REQUEST_MAX        (4u << 20)
#define XE_CTL_REQUEST_MAX_READER (64u << 10)

/* Longest answer line, and what the service keeps at most for a client that does not read. `config`
 * with 16384 rules is the longest, 2 MiB; what can be longer is streamed. */
#define XE_CTL_ANSWER_MAX (8u << 20)

/* Words in `args`. The longest rule has about 30. */
#define XE_CTL_ARGS_MAX 64

/* xegressctl gives up when nothing arrives for this long: a service that is stopped or stuck is to
 * be told from a slow one. A deferred answer (`port add`) must come, with success or not, before.
 */
#define XE_CTL_SILENCE_MAX_S 30

#endif
