/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line is one write(), so that lines of two threads never mix; longer ones are cut. */
#define LINE_SIZE 1024

static _Atomic int max_level = XE_LOG_INFO;

void xe_log_set_level(enum xe_log_level level)
{
	atomic_store_explicit(&max_level, level, memory_order_relaxed);
}

static const char *level_word(enum xe_log_level level)
{
	switch (level) {
	case XE_LOG_ERR:
		return "error: ";
	case XE_LOG_WARN:
		return "warning: ";
	case XE_LOG_DEBUG:
		return "debug: ";
	default:
		return "";
	}
}

void xe_log(enum xe_log_level level, const char *fmt, ...)
{
	static _Atomic int journald = -1;
	char line[LINE_SIZE];
	int len = 0;
	va_list ap;

	if (level > (enum xe_log_level)atomic_load_explicit(&max_level, memory_order_relaxed))
		return;
	if (journald < 0)
		journald = getenv("JOURNAL_STREAM") != NULL;
	if (journald)
		len = snprintf(line, sizeof(line), "<%d>%s", level, level_word(level));
	else
		len = snprintf(line, sizeof(line), "xegressd: %s", level_word(level));
	va_start(ap, fmt);
	len += vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* nowhere left to say it */
}
