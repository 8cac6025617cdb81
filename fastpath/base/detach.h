/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * detach.h - whoever starts the service waits until it is up, and it goes on without them: for
 * systemd's ExecReload=, which must end. Before the first thread.
 */
#ifndef XE_DETACH_H
#define XE_DETACH_H

/* Returns in a child, in a session of its own. The caller's process ends with code 0 when the child
 * says xe_detach_done(), with 1 when it ends before. -errno: there is no child. */
int xe_detach_begin(void);
/* Nothing where nobody waits. */
void xe_detach_done(void);

#endif
