#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: t_handback asks the same of less load.
# Flows move between the kernel and the service, routed and behind a bridge, with one worker and two.
cd "$(dirname "$0")" || exit 1
for variant in routed bridge; do
	for workers in 1 2; do
		echo "# $variant, $workers workers"
		XE_WHOLE=1 XE_VARIANT=$variant XE_WORKERS=$workers ./t_handback.sh || exit
	done
done
