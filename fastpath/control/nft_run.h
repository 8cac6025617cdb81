/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nft_run.h - libnftables, in a process of its own.
 *
 * libnftables ends the process it is in when it gets no netlink socket or no memory, and when an
 * answer of the kernel is cut short, which a moment without memory does. The network must not end
 * by that. So main() makes two processes before anything else: a keeper, which does nothing but
 * wait, and the one that runs the commands, which the keeper makes anew when it has ended. A
 * command that ended it has failed, like one that nft refuses.
 *
 *	control thread --(socket)--> runner: nft_run_cmd_from_buffer() --> answer
 *	                             keeper: waits for the runner; says for it that it has ended
 *
 * Both have CAP_NET_ADMIN only, ignore the signals that ask the service to end, and go when the
 * service's end of the socket is closed. Without them (tests; or they were killed) commands run in
 * the calling process.
 *
 * Control thread, or any one thread of a process without.
 */
#ifndef XE_NFT_RUN_H
#define XE_NFT_RUN_H

#include <stddef.h>

/* The runner's name, as /proc/PID/comm and nftables' events have it. */
#define XE_NFT_RUNNER "xe-nft"

/* Make the processes; before the first thread. 0 or -errno. */
int xe_nft_open(void);
/* End them. Commands run here from then on. */
void xe_nft_close(void);

/*
 * Run a command (nft's syntax; several lines are one transaction). output_flags: NFT_CTX_OUTPUT_*.
 * *output, unless NULL: what it printed, to be freed; NULL on an error. -EIO: nft, or the kernel,
 * has refused; err is the first line of why. -ENOMEM; -EPIPE: libnftables has ended itself.
 */
int xe_nft_run(const char *command, unsigned int output_flags, char **output, char *err,
	       size_t err_size);

#endif
