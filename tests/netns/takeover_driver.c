/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* takeover_driver - for taker.py: the body of this build's HELLO. */
#include <stdio.h>

#include "control/takeover_wire.h"

int main(void)
{
	struct xe_to_hello hello;

	xe_to_our_hello(&hello);
	for (size_t i = 0; i < XE_TO_SIZES; i++)
		printf("%u ", hello.size[i]);
	printf("%u\n", hello.version_min);
	return 0;
}
