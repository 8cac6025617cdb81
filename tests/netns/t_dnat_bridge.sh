#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# side-by-side
# t_dnat.sh with containers on a bridge, as Docker has them: the bridge says behind which port.
XE_VARIANT=bridge
. "$(dirname "$0")/t_dnat.sh"
