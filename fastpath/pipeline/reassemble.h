/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * reassemble.h - IP fragments: held until their datagram is whole, then one packet to the pipeline.
 *
 * Nothing is put together in memory ("virtual reassembly"): the first fragment stands for the whole
 * datagram, the others hang on it in order and leave as they came, with new addresses.
 *
 *   burst:  fragment      fragment      fragment (the last one to come)
 *              |             |             |  xe_reassemble()
 *           [held]        [held]           v
 *              '-------------'-------> packet -next-> fragment -next-> fragment     one packet:
 *                                      len, l4_len of all; frag_cnt 3; frag_max     parse ... fwd
 *                                             |  xe_reassemble_send(), or xe_fragment() where the
 *                                             v  way is smaller than the largest of them
 *                                      fragment, fragment, fragment
 *
 * In the counters the joined packet is one: n fragments joined merge n - 1, taken apart again they
 * make n - 1.
 *
 * Several workers: the fragments of a datagram may come in by any queue of an uplink, so each goes
 * to the one of two workers that its key's hash names, and when they are whole from there to the
 * session's owner, which joins them anew (XE_META_JOIN_HERE).
 */
#ifndef XE_REASSEMBLE_H
#define XE_REASSEMBLE_H

#include "pipeline/lane.h"

/* Memory for what waits. -ENOMEM. Without it every fragment is malformed. */
int xe_reassemble_open(struct xe_lane *lane);
void xe_reassemble_close(struct xe_lane *lane);

/* A packet that parse does not understand: is it a fragment? False: it is malformed. True: it has
 * ended (held, handed over, dropped), or it was the last of its datagram, which goes on in its
 * place. */
bool xe_reassemble(struct xe_lane *lane, struct xe_packet *p);

/* One piece of a joined packet, from the first to the last, each a packet by itself again: false
 * when all have been taken, and the packet has ended. */
bool xe_reassemble_next(struct xe_lane *lane, struct xe_packet *p, struct xe_packet *piece);
/* Give all pieces of a joined packet to another worker, which joins them anew: with the addresses
 * that the first one has, for between two containers it has been translated. It has ended then. */
void xe_reassemble_hand(struct xe_lane *lane, struct xe_packet *p, uint32_t worker, uint32_t how);
/* Send a joined packet as the fragments it came in. It has ended then. */
void xe_reassemble_send(struct xe_lane *lane, struct xe_packet *p);

/* End what has waited too long. */
void xe_reassemble_expire(struct xe_lane *lane);
/* A port goes away (XE_PORT_NONE: all): so do the fragments from there. */
void xe_reassemble_flush(struct xe_lane *lane, uint16_t port);

#endif
