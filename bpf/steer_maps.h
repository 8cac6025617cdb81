/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* steer_maps.h - the maps of steer_abi.h as the BPF side declares them. The service creates one set
 * and gives it to every program it loads (one a mode, io/steer_prog.h). `scratch` alone is no part
 * of the ABI. */
#ifndef XE_STEER_MAPS_H
#define XE_STEER_MAPS_H

#include "steer_scratch.h"
#include "xegress/steer_abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, XE_MAX_PORTS *XE_MAX_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XE_MAX_PORTS);
	__type(key, __u32);
	__type(value, struct xe_port_conf);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XE_MAX_PORTS);
	__type(key, __u32);
	__type(value, __u32);
} port_ids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XE_PORT_HINTS);
	__type(key, __u32);
	__type(value, __u64);
} port_hints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, XE_MAX_PORTS * 8); /* a handful of prefixes a port */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct xe_allow_key);
	__type(value, __u8);
} allow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2 * XE_MAX_DENY); /* two lists during a change */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct xe_allow_key);
	__type(value, __u8);
} deny_list SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * XE_MAX_TUPLES);
	__type(key, __u32);
	__type(value, struct xe_tuple);
} tuples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * XE_MAX_RULE_ENTRIES); /* two rule sets during a switch */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct xe_rule_key);
	__type(value, struct xe_rule_value);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XE_MAX_EXT_ADDRS);
	__type(key, struct xe_addr);
	__type(value, __u32);
} ext_addrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XE_MAX_BROADCASTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u8);
} broadcasts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, XE_OWNED_ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} owned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, XE_GUARDED_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} guarded SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set before load: workers x live_mask + 1 */
	__type(key, __u32);
	__type(value, struct xe_live_bucket);
} live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, XE_MAX_WORKERS);
	__type(key, __u32);
	__type(value, __u64);
} beats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xe_steer_conf);
} steer_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XE_MAX_PORTS);
	__type(key, __u32);
	__type(value, struct xe_port_counters);
} counters SEC(".maps");

/*
 * What one packet needs and the stack has no room for: that is 512 bytes, all functions together,
 * and a load without CAP_PERFMON has to spill more. XDP runs with bottom halves disabled, so that a
 * CPU is at one packet only. Nothing in here outlives a packet; who reads a member has written it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_scratch);
} scratch SEC(".maps");

static __always_inline struct steer_scratch *scratch_of_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

#endif
