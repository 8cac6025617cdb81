/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* takeover_driver - for taker.py: the sizes that this build wants to hear in a HELLO. */
#include <stdio.h>

#include "control/takeover_wire.h"

int main(void)
{
	struct xe_to_sizes s = xe_to_our_sizes();

	printf("%u %u %u %u %u %u\n", s.message, s.meta, s.record, s.frame, s.ring, s.change);
	return 0;
}
