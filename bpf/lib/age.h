/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Records age in the kernel: at each tick one timer takes the keys of a part of all records from the head of a queue, and puts those that
 * live on at its end. So a tick has a bound, whatever the size of the table, and needs no agent.
 */
#pragma once
#include "flow.h"

struct sweep_tick {
	struct sweep *state;
	__u32 now;
	__u32 grace;
};

/*
 * Looks at the record whose key is next. Ends it a little later than packets take it for gone, so that no packet on
 * another CPU still holds the record when its memory is used again.
 */
static long age_next(__u32 turn, struct sweep_tick *tick)
{
	struct flow_key key;
	struct flow *flow;

	if (bpf_map_pop_elem(&flow_keys, &key))
		return 1;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (flow && !is_past(flow->expires + tick->grace, tick->now)) {
		/* There is room, but the queue's lock may be refused. A record that is in no queue would never end: it ends now. */
		if (!bpf_map_push_elem(&flow_keys, &key, BPF_ANY))
			return 0;
	}
	__sync_fetch_and_add(&tick->state->records, -1);
	if (!flow)
		return 0;
	close_half_open(flow);
	tell_flow(&key, flow, EVENT_KIND_FLOW_END, HOOK_TIMER, 0, 0);
	bpf_map_delete_elem(&flows, &key);
	return 0;
}

/* Looks at a part of all records: in a round of ticks at each that was there when the round began. */
static __always_inline void age_part(struct sweep *state, const struct live *word, __u32 now)
{
	struct sweep_tick tick = { .state = state, .now = now, .grace = word->timeouts[TIMEOUT_SECOND] };

	if (state->ticks++ % SWEEP_PARTS == 0)
		state->part = (state->records + SWEEP_PARTS - 1) / SWEEP_PARTS;
	bpf_loop(state->part, age_next, &tick, 0);
}

static int sweep_part(void *map, int *index, struct sweep *state)
{
	__u32 zero = 0;
	struct live *word = bpf_map_lookup_elem(&live, &zero);

	state->jiffies = bpf_jiffies64();
	state->time = bpf_ktime_get_ns();
	if (word)
		age_part(state, word, state->jiffies);
	bpf_timer_start(&state->timer, SWEEP_INTERVAL_NS, 0);
	return 0;
}
