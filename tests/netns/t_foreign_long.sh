#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In make check-long: t_foreign in all ways.
XE_ALL=1 exec "$(dirname "$0")/t_foreign.sh"
