/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_deny.c - the deny lists in the steering program's map (attach.h).
 *
 * Two sorted lists are walked side by side and only what differs is told to the kernel: a changed
 * rule beside a list of 100,000 prefixes costs nothing, and nothing that stays is ever missing.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/attach.h"
#include "state/deny.h"
#include "steer.skel.h"

/* The kernel takes memory for entries from a store that it fills in the background; a list written
 * fast enough can find it empty. 100 times 1 ms is far more than a refill takes. */
#define RETRIES  100
#define RETRY_US 1000

static int add(int fd, const struct xe_allow_key *key)
{
	__u8 one = 1;
	int err = bpf_map_update_elem(fd, key, &one, BPF_ANY);

	for (int i = 0; err == -ENOMEM && i < RETRIES; i++) {
		usleep(RETRY_US);
		err = bpf_map_update_elem(fd, key, &one, BPF_ANY);
	}
	return err;
}

/* Add what is in `keys` and not in `than`. On an error *done tells how far in `keys` it came. */
static int add_missing(int fd, const struct xe_allow_key *keys, uint32_t cnt,
		       const struct xe_allow_key *than, uint32_t than_cnt, uint32_t *done)
{
	uint32_t k = 0;
	int err = 0;

	for (*done = 0; !err && *done < cnt; (*done)++) {
		while (k < than_cnt && xe_deny_key_cmp(&than[k], &keys[*done]) < 0)
			k++;
		if (k == than_cnt || xe_deny_key_cmp(&than[k], &keys[*done]))
			err = add(fd, &keys[*done]);
	}
	return err;
}

/* Delete what is in `keys` and not in `than`. */
static void del_missing(int fd, const struct xe_allow_key *keys, uint32_t cnt,
			const struct xe_allow_key *than, uint32_t than_cnt)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < cnt; i++) {
		while (k < than_cnt && xe_deny_key_cmp(&than[k], &keys[i]) < 0)
			k++;
		if (k == than_cnt || xe_deny_key_cmp(&than[k], &keys[i]))
			bpf_map_delete_elem(fd, &keys[i]);
	}
}

int xe_steer_set_deny(struct xe_steer *st, const struct xe_allow_key *keys, uint32_t cnt)
{
	int fd = bpf_map__fd(st->skel->maps.deny_list), err;
	struct xe_allow_key *copy = malloc((cnt + 1ul) * sizeof(*copy));
	uint32_t done;

	if (!copy)
		return -ENOMEM;
	if (cnt)
		memcpy(copy, keys, cnt * sizeof(*copy));
	err = add_missing(fd, keys, cnt, st->deny_keys, st->deny_key_cnt, &done);
	if (err) {
		del_missing(fd, keys, done, st->deny_keys, st->deny_key_cnt);
		free(copy);
		return err;
	}
	__atomic_store_n(&st->conf->deny_cnt, cnt, __ATOMIC_RELEASE);
	del_missing(fd, st->deny_keys, st->deny_key_cnt, keys, cnt);
	free(st->deny_keys);
	st->deny_keys = copy;
	st->deny_key_cnt = cnt;
	return 0;
}
