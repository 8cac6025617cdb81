# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# judge.sh - the outside judge: looks at the internet's end of the uplink through a whole scenario,
# and at the receivers' error counters. Knows nothing of xegress; judge.py reads what was caught.
#
# Who sent a reset is told by its TTL: the host's own leave with 64, a container's have been
# forwarded and arrive with 63.
#
# A scenario that provokes an exception says so before finish:
#	JUDGE_ALLOW_DST   addresses that may be sent to with a private source (`accept` rules)
#	JUDGE_ALLOW_RST   source L4 ports of the host that may send a reset
#	JUDGE_ALLOW_CSUM  checksum errors that were sent on purpose
#	JUDGE_INSIDE6     prefix that is as private as $INSIDE: IPv6 is judged, too
#	JUDGE_RST_UNTIL   epoch from which on the host may reset what it likes

JUDGE_ALLOW_DST=
JUDGE_ALLOW_RST=
JUDGE_ALLOW_CSUM=0
JUDGE_RST_UNTIL=
JUDGE_EXT=$EXT
JUDGE_INSIDE6=

judge_ready() { grep -q 'listening on' "$T/$1.log"; }

judge_start() {
	local also=

	CSUM_BASE=$(csum_errors)
	[ -z "$JUDGE_INSIDE6" ] ||
		also=" or (ip6 and (src net $JUDGE_INSIDE6 or (ip6[6] = 6 and ip6[53] & 4 != 0)))"
	# Only what nobody should see, and resets: so little that nothing is lost under load.
	bg wire w tcpdump --immediate-mode -U -n -Z root -i up0 -s 128 -w "$T/wire.pcap" \
		"(ip and (src net $INSIDE or (ip[6:2] & 0x1fff = 0 and tcp[tcpflags] & tcp-rst != 0)))$also"
	within 5000 judge_ready wire || die "set-up: tcpdump does not start"
}

# Packets that arrived with a wrong checksum, over all who receive: IP, ICMP, TCP and UDP.
csum_errors() {
	local ns

	for ns in c1 c2 h w; do
		on "$ns" cat /proc/net/snmp /proc/net/netstat /proc/net/snmp6
	done | awk '$1 ~ /^(Udp|Icmp)6InCsumErrors$/ { sum += $2 }
		$1 ~ /^(Icmp|Tcp|Udp|IpExt):$/ {
			if (head[$1] == "") { head[$1] = $0; next }
			n = split(head[$1], name)
			for (i = 2; i <= n; i++)
				if (name[i] == "InCsumErrors")
					sum += $i
			head[$1] = ""
		}
		END { print sum + 0 }'
}

wire_report() { # [EPOCH]: what the judge has caught (until then), as JSON
	"$PY" "$HERE/judge.py" wire "$T/wire.pcap" --inside "$INSIDE${JUDGE_INSIDE6:+,$JUDGE_INSIDE6}" \
		--ext "$JUDGE_EXT" \
		--allow-dst "$JUDGE_ALLOW_DST" --allow-rst "$JUDGE_ALLOW_RST" \
		${1:+--until "$1"} ${JUDGE_RST_UNTIL:+--rst-until "$JUDGE_RST_UNTIL"}
}

# The verdict on one property: nothing caught, else the first few that were.
wire_clean() { # NAME KEY REPORT
	local n

	n=$(json "$3" "j['$2']")
	if [ "$n" = 0 ]; then
		pass "$1"
	else
		fail "$1" "$n packets: $(json "$3" "'; '.join(j['examples']['$2'])")"
	fi
}

judge_end() { # [EPOCH]
	local report lost

	[ -n "${PIDS[wire]:-}" ] || return 0
	sleep 0.1
	bg_stop wire INT
	lost=$(awk '/dropped by kernel/ { print $1 }' "$T/wire.log")
	same "the judge saw everything" "$lost" 0
	report=$(wire_report "${1:-}")
	wire_clean "no private source on the uplink" private "$report"
	wire_clean "no reset from the host" host_rst "$report"
	same "no checksum error at any receiver" $(($(csum_errors) - CSUM_BASE)) "$JUDGE_ALLOW_CSUM"
}

# A close look at every packet that arrives at an interface: header and L4 checksums, TTL.
look_start() { # NAME NS INTERFACE tcp|udp [L4PORT]
	bg "$1" "$2" "$PY" "$HERE/judge.py" look "$3" "$4" "${5:-0}"
	within 5000 judge_ready "$1" || die "set-up: judge.py look does not start"
}

look_end() { # NAME: the report, one JSON line, is in variable LOOK
	sleep 0.2
	bg_stop "$1" TERM
	LOOK=$(tail -n 1 "$T/$1.log")
}

look_checks() { # WHAT REPORT: checksums right, and something was seen
	same "$1: all checksums right" "$(json "$2" "[j['bad_ip'], j['bad_l4'], j['packets'] > 0]")" \
		"[0, 0, true]"
}
