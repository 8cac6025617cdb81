/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ask.h - one question to the running service (xegress/ctl_abi.h has the protocol).
 */
#ifndef XE_TUNE_ASK_H
#define XE_TUNE_ASK_H

#include <jansson.h>

/* 0 and the result (the caller's). -ENOENT: nobody listens there; -EACCES: this user may not ask;
 * another -errno: it listens and does not answer as it should. */
int tune_ask(const char *run_dir, const char *verb, json_t **result);

#endif
