#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: t_uplink with a native-mode program.
XE_UPLINK_XDP=native exec "$(dirname "$0")/t_uplink.sh"
