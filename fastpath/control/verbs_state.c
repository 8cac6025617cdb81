/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_state.c - state export, state import: all flows as a file (state/flow_record.h).
 *
 * The file is memory that the client has passed (a memfd): so this thread waits for no disk and no
 * reader. What is read must be sealed, or it could change between judging and using it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "control/flow_adopt.h"
#include "control/flow_export.h"
#include "control/flow_sync.h"
#include "control/verbs.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

/* The client's memory; -1: it was said what is wrong. */
static int take_memory(struct xe_ctl_request *req, bool sealed)
{
	int fd = xe_ctl_take_fd(req), seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

	if (seals >= 0 && (!sealed || (seals & SEALS) == SEALS))
		return fd;
	xe_ctl_fail(req, XE_CTL_USAGE, "%s: expected %s memory (memfd_create) with the request",
		    xe_ctl_verb_name(req), sealed ? "sealed" : "writable");
	if (fd >= 0)
		close(fd);
	return -1;
}

int xe_verb_state_export(void *ctx, struct xe_ctl_request *req)
{
	int fd = take_memory(req, false), err;
	struct xe_service *svc = ctx;
	struct xe_flow_file file;

	if (fd < 0)
		return 0;
	xe_flow_file_init(&file);
	err = xe_flows_export(svc, NULL, &file);
	if (!err)
		err = xe_flow_file_write(&file, fd);
	if (err)
		xe_ctl_fail(req, XE_CTL_FAILED, "state export: %s", strerror(-err));
	else
		xe_ctl_ok(req, json_pack("{sI}", "flows", (json_int_t)file.record_cnt));
	xe_flow_file_free(&file);
	close(fd);
	return 0;
}

static json_t *counts_json(uint32_t record_cnt, const struct xe_adopt_counts *c)
{
	return json_pack("{sI, sI, sI, sI, sI, sI, sI}", "flows", (json_int_t)record_cnt, "adopted",
			 (json_int_t)c->adopted, "by_tags", (json_int_t)c->by_tags, "there",
			 (json_int_t)c->there, "over", (json_int_t)c->over, "refused",
			 (json_int_t)c->refused, "waiting", (json_int_t)c->waiting);
}

static json_t *synced_json(uint32_t record_cnt, const struct xe_sync_counts *c)
{
	json_t *json = counts_json(record_cnt, &c->adopt);

	if (json)
		json_object_update_new(json,
				       json_pack("{sI, sI}", "updated", (json_int_t)c->updated,
						 "ended", (json_int_t)c->ended));
	return json;
}

static void import(struct xe_service *svc, struct xe_ctl_request *req, struct xe_flow_file *file,
		   bool sync)
{
	uint32_t record_cnt = file->record_cnt;
	struct xe_adopt_counts counts = {};
	struct xe_sync_counts synced = {};
	int ret = sync ? xe_sync_import(svc, file, &synced) : xe_adopt_add(svc, file, &counts);

	if (ret < 0)
		xe_ctl_fail(req, XE_CTL_FAILED, "state import: %s", strerror(-ret));
	else
		xe_ctl_ok(req, sync ? synced_json(record_cnt, &synced)
				    : counts_json(record_cnt, &counts));
}

int xe_verb_state_import(void *ctx, struct xe_ctl_request *req)
{
	int fd = take_memory(req, true), ret;
	struct xe_flow_file file;
	const char *name = xe_ctl_arg(req, 0), *how = xe_ctl_arg(req, 1);
	char err[256] = "";

	if (fd < 0)
		return 0;
	if (how && strcmp(how, "sync")) {
		close(fd);
		return xe_ctl_fail(req, XE_CTL_USAGE, "state import: expected sync, got `%s`", how);
	}
	ret = xe_flow_file_read(&file, fd, err, sizeof(err));
	close(fd);
	if (ret)
		return xe_ctl_fail(req, XE_CTL_FAILED, "%s: %s", name ? name : "the file", err);
	import(ctx, req, &file, how);
	xe_flow_file_free(&file);
	return 0;
}
