/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ctl_audit.h - one audit line for a changing verb that ended. Private to the server.
 */
#ifndef XE_CTL_AUDIT_H
#define XE_CTL_AUDIT_H

#include <stdbool.h>

struct xe_ctl_request;
struct xe_ctl_service;

/* Tell the service's audit callback, with words made fit for a log. */
void xe_ctl_audit_line(const struct xe_ctl_service *service, const struct xe_ctl_request *req,
		       bool ok, const char *outcome);

#endif
