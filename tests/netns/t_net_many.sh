#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: the safety net of 4,000 rules takes its time.
#
# While others change tables of theirs all the time, our table of thousands of rules is not listed for it; and what
# somebody does to ours is noticed within two seconds, however long that would take, and made again.
. "$(dirname "$0")/lib.sh"
xe_only

XE_RULES="$("$PY" -c '
for i in range(4000):
	print("drop from 10.1.0.0/16 to 100.%d.%d.0/24" % (64 + i // 256, i % 256))')
masquerade from $INSIDE out eth0 ports 20000-29999"

said() { grep -c "safety net: the table was removed" "$T/xegressd.$XE_RUN.log"; }
says() { [ "$(said)" = "$1" ]; }
over() { [ "$(grep -c "safety net: as it should be again" "$T/xegressd.$XE_RUN.log")" = "$1" ]; }
cpu_ms() { # of the service, and of what runs nft for it
	local pid

	for pid in $(ip netns pids "$ID-h"); do
		cat "/proc/$pid/stat" 2>/dev/null
	done | awk '$2 ~ /^.xegressd|^.xe-/ { ticks += $14 + $15 } END { print ticks * 10 }'
}

topo_up
xe_start
table=$(json "$(xe_ctl status --json)" "j['safety_net']['table']")
start=$(now_ms)
must on h nft -s list table inet "$table"
echo "# the table takes nft $(($(now_ms) - start)) ms to list, $(on h nft list table inet "$table" | wc -l) lines"

# Somebody else's firewall, which is made anew five times a second; a line of it is in a table by our name,
# but of another family.
bg others h bash -c "while :; do nft 'add table ip somebody; flush table ip somebody;
	add chain ip somebody c; add rule ip somebody c counter; add table ip $table; delete table ip $table'
	sleep 0.2; done"
sleep 2.5
same "nothing is said of what others do to theirs" "$(said)" 0
before=$(cpu_ms)
sleep 3
used=$(($(cpu_ms) - before))
between "ms of CPU for that, in three seconds" $used 0 $((600 * XE_SLOW))
echo "# $used ms"
start=$(now_ms)
check "status says in place" xe_ctl status
between "status does not list it" $(($(now_ms) - start)) 0 $((700 * XE_SLOW))

n=0
for how in "add rule inet $table forward counter" "delete table inet $table"; do
	n=$((n + 1))
	start=$(now_ms)
	must on h nft "$how"
	check "$how: noticed within two seconds" within 2000 says $n
	echo "# noticed after $(($(now_ms) - start)) ms"
	check "and made again" within 90000 over $n
	echo "# made again after $(($(now_ms) - start)) ms"
	check "status is content" within 5000 xe_ctl status
done
same "the others' changes were not" "$(said)" $n
on h nft list table inet "$table" >"$T/table.txt"
check "the last rule is there again" grep -q "100.79.159" "$T/table.txt"
bg_stop others
on h nft delete table ip somebody
xe_stop
finish
