#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# t_stop.sh on a host that has a masquerade of its own, as Docker makes it.
XE_OWN_MASQ=1 exec "$(dirname "$0")/t_stop.sh"
