#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: 12 s; t_takeover.sh has the same number of workers.
#
# A new process with more workers, with fewer, and with as many: frames and flows find their new ones.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/takeover.sh"
xe_only

topo_up
judge_start
load_servers
xe_start
load_begin $((7 * XE_SLOW))
sleep 0.5
for workers in "[0, 1]" "[1]" "[0, 1]" "[0, 1]" "[0]"; do
	(xe_conf | grep -v ^workers; echo "workers: $workers") >"$T/xegress.yaml"
	check "takeover by workers $workers" take_over || break
	echo "# $(took)"
	same "no port was attached anew ($workers)" \
		"$(grep -c 'anew' "$T/xegressd.$XE_RUN.log")" 0
	sleep 0.3
done
load_end 5000
finish
