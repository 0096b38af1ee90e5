/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The compiled policy, exactly as src/compile/judge.ts looks it up: set → class → row → interval. */
#pragma once
#include "address.h"

#define ACTION_DENY 0u
#define ACTION_ALLOW 1u
#define ACTION_BY_SOURCE_PORT 2u
#define ACTION_AS_ROW 3u

#define OUTCOME_NOT_ENFORCED (ACTION_ALLOW << OUTCOME_ACTION_SHIFT | VERDICT_NOT_ENFORCED)

enum direction {
	DIRECTION_INGRESS,
	DIRECTION_EGRESS,
	DIRECTION_NONE,
};

/*
 * Functions without `static` are verified once, by themselves, and not again for every way that leads to them: they take
 * numbers and whole structs, and look whether a pointer is there because the verifier asks for it.
 */

static __always_inline __u16 packed16(void *map, __u32 index)
{
	__u32 quad = index / 4;
	__u64 *value = bpf_map_lookup_elem(map, &quad);

	return value ? *value >> (index % 4 * 16) : 0;
}

/* The outcome of `key` in row `number` of `side`; 0 (deny, verdict 0) for an empty row. */
static __always_inline __u32 search_row(__u32 side, __u32 number, __u32 key)
{
	__u32 index = side * MAX_ROWS + number;
	struct row *row = number < MAX_ROWS ? bpf_map_lookup_elem(&rows, &index) : NULL;
	struct interval *interval;
	__u32 low, count, base;

	if (!row || !row->count)
		return 0;
	base = side * MAX_INTERVALS + row->offset;
	low = 0;
	count = row->count;
	/* The greatest start ≤ key lies in [low, low + count); the first interval starts at 0. */
	for (int i = 0; i < (int)ROW_STEPS && count > 1; i++) {
		__u32 half = count / 2;
		__u32 middle = base + low + half;

		interval = bpf_map_lookup_elem(&intervals, &middle);
		if (!interval)
			return 0;
		if (interval->start <= key) {
			low += half;
			count -= half;
		} else {
			count = half;
		}
	}
	low += base;
	interval = bpf_map_lookup_elem(&intervals, &low);
	return interval && count == 1 ? interval->outcome : 0;
}

/* The same as a function, for the few rows that look at the source port. */
__noinline __u32 search_other_row(__u32 side, __u32 number, __u32 key)
{
	return search_row(side, number, key);
}

/*
 * What an end (endpoint * 2 + direction) enforces toward slot `peer`. `keys`: see policy_keys. Returns the outcome above,
 * and below the reason why the packet does not pass, or REASON_NONE.
 */
static __always_inline __u64 judge_end(__u32 side, __u32 end, __u32 peer, __u64 keys)
{
	__u32 index = side * 2 * MAX_ENDPOINTS + end;
	struct set_entry *set = end < 2 * MAX_ENDPOINTS ? bpf_map_lookup_elem(&sets, &index) : NULL;
	__u32 class, row, outcome;

	if (!set || !set->count || !peer || peer >= MAX_SLOTS)
		return REASON_NOT_READY;
	class = packed16(&classes, side * MAX_SLOTS + peer);
	if (!class || class >= set->count || set->base + class >= MAX_CELLS)
		return REASON_NOT_READY;
	row = packed16(&cells, side * MAX_CELLS + set->base + class);
	if (!row)
		return REASON_NOT_READY;
	outcome = search_row(side, row, keys >> 32);
	if (outcome >> OUTCOME_ACTION_SHIFT == ACTION_AS_ROW)
		outcome = search_row(side, outcome & OUTCOME_ID_MASK, keys >> 32);
	if (outcome >> OUTCOME_ACTION_SHIFT == ACTION_BY_SOURCE_PORT)
		outcome = search_other_row(side, outcome & OUTCOME_ID_MASK, (__u32)keys);
	return (__u64)outcome << 32 | (outcome >> OUTCOME_ACTION_SHIFT == ACTION_ALLOW ? REASON_NONE : REASON_POLICY);
}

/* Both keys of a packet for judge_end: `protocol << 16 | destination port` above, the same with the source port below. */
static __always_inline __u64 policy_keys(__u8 protocol, __u16 source_port, __u16 destination_port)
{
	return ((__u64)protocol << 16 | destination_port) << 32 | (__u32)protocol << 16 | source_port;
}

/* How one packet was judged, for records and events. */
struct verdict {
	__u32 source_outcome;
	__u32 destination_outcome;
	__u16 source_endpoint;
	__u16 destination_endpoint;
	__u32 direction; /* enum direction: which end denied */
};

/*
 * Judges both ends of a packet in its own orientation: the source's egress, then the destination's ingress. `keys`: see
 * policy_keys. Fills the verdict and returns REASON_NONE or why not.
 */
__noinline int judge(__u32 side, struct verdict *v, __u64 keys, const struct end *source, const struct end *destination)
{
	__u64 found;

	if (!v || !source || !destination)
		return REASON_INTERNAL;
	v->source_endpoint = source->endpoint;
	v->destination_endpoint = destination->endpoint;
	v->source_outcome = OUTCOME_NOT_ENFORCED;
	v->destination_outcome = OUTCOME_NOT_ENFORCED;
	v->direction = DIRECTION_NONE;
	/* What a pod sends to itself is its own affair. */
	if (source->endpoint && source->endpoint == destination->endpoint)
		return REASON_NONE;
	if (source->endpoint) {
		found = judge_end(side, source->endpoint * 2 + DIRECTION_EGRESS, destination->slot, keys);
		v->source_outcome = found >> 32;
		if ((__u32)found) {
			v->direction = DIRECTION_EGRESS;
			if ((__u32)found == REASON_POLICY && destination->flags & ADDRESS_FLAG_UNKNOWN)
				return REASON_UNKNOWN_PEER;
			return found;
		}
	}
	if (destination->endpoint) {
		found = judge_end(side, destination->endpoint * 2 + DIRECTION_INGRESS, source->slot, keys);
		v->destination_outcome = found >> 32;
		if ((__u32)found) {
			v->direction = DIRECTION_INGRESS;
			if ((__u32)found == REASON_POLICY && source->flags & ADDRESS_FLAG_UNKNOWN)
				return REASON_UNKNOWN_PEER;
			return found;
		}
	}
	return REASON_NONE;
}
