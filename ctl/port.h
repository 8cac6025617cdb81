/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * port.h - ports as `status` and `port list` print them.
 */
#ifndef XE_CTL_TOOL_PORT_H
#define XE_CTL_TOOL_PORT_H

#include <jansson.h>

/* PORT objects (xegress/ctl_abi.h), one line each. */
void print_ports(const json_t *ports);

#endif
