/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Records age in the kernel: one timer sweeps one shard a tick, whether or not an agent lives. */
#pragma once
#include "flow.h"

struct sweep_round {
	__u64 live;
	__u32 now;
	__u32 grace;
};

/*
 * Ends a flow that is past its time. A little later than packets take it for gone, so that no packet on another CPU
 * still holds the record when its memory is used again.
 */
static long age_flow(void *map, const struct flow_key *key, struct flow *flow, struct sweep_round *round)
{
	if (!is_past(flow->expires + round->grace, round->now)) {
		round->live++;
		return 0;
	}
	close_half_open(flow);
	tell_flow(key, flow, EVENT_KIND_FLOW_END, HOOK_TIMER, 0, 0);
	bpf_map_delete_elem(map, key);
	return 0;
}

static int sweep_shard(void *map, int *key, struct sweep *state)
{
	__u64 now = bpf_jiffies64();
	struct sweep_round round = { .now = now };
	__u32 shard = state->shard % FLOW_SHARDS, zero = 0;
	struct live *word = bpf_map_lookup_elem(&live, &zero);
	void *inner = bpf_map_lookup_elem(&flows, &shard);

	state->jiffies = now;
	state->time = bpf_ktime_get_ns();
	if (inner && word) {
		round.grace = word->timeouts[TIMEOUT_SECOND];
		bpf_for_each_map_elem(inner, age_flow, &round, 0);
	}
	state->counting += round.live;
	state->shard = shard + 1;
	if (shard + 1 == FLOW_SHARDS) {
		state->shard = 0;
		state->rounds++;
		state->live = state->counting;
		state->counting = 0;
	}
	bpf_timer_start(&state->timer, SWEEP_INTERVAL_NS, 0);
	return 0;
}
