/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Verbs that are named in the manual's plan and not made yet. They have their name so that nobody
 * takes the refusal for a mistyped word.
 */
#include "verb.h"

int verb_later(const struct ctl_options *options, int argc, char **argv)
{
	(void)options;
	(void)argc;
	return ctl_failed("%s: not yet in this version", argv[0]);
}
