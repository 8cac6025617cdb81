#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: t_icmp asks the same of one worker.
# t_icmp.sh with two workers: errors arrive at one, and half of the flows are the other's.
[ "$(nproc)" -ge 2 ] || { echo "skip: needs two CPUs"; exit 77; }
XE_WORKERS=2 exec "$(dirname "$0")/t_icmp.sh"
