/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/nat_range.h"

bool xe_nat_range_default(uint16_t local_min, uint16_t local_max, uint16_t *min, uint16_t *max)
{
	unsigned int below, above;

	*min = XE_NAT_PORT_MIN;
	*max = XE_NAT_PORT_MAX;
	if (!local_max ||
	    !xe_nat_range_meets(local_min, local_max, XE_NAT_PORT_MIN, XE_NAT_PORT_MAX))
		return true;
	below = local_min > XE_NAT_PORT_MIN ? local_min - XE_NAT_PORT_MIN : 0;
	above = local_max < XE_NAT_PORT_MAX ? XE_NAT_PORT_MAX - local_max : 0;
	if (below < XE_NAT_PORTS_LEAST && above < XE_NAT_PORTS_LEAST)
		return false;
	if (below >= above)
		*max = (uint16_t)(local_min - 1);
	else
		*min = (uint16_t)(local_max + 1);
	return true;
}
