#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: t_stall with stalls of ten seconds.
XE_STALL_MS=10000 exec "$(dirname "$0")/t_stall.sh"
