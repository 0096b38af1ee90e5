// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* For measurements, loaded upon the tables of a running plane: empties the flow table at once, or does one tick of ageing. */
#include "age.h"

char gpl[] SEC("license") = "GPL";

static long forget_next(__u32 turn, struct sweep_tick *tick)
{
	struct flow_key key;

	if (bpf_map_pop_elem(&flow_keys, &key))
		return 1;
	bpf_map_delete_elem(&flows, &key);
	__sync_fetch_and_add(&tick->state->records, -1);
	return 0;
}

SEC("tc")
int forget(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct sweep_tick tick = { .state = bpf_map_lookup_elem(&sweep, &zero) };

	return tick.state ? bpf_loop(1u << 20, forget_next, &tick, 0) : 0;
}

/* The same as the timer does at a tick, with the table as it is now. */
SEC("tc")
int tick(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct sweep *state = bpf_map_lookup_elem(&sweep, &zero);
	struct live *word = bpf_map_lookup_elem(&live, &zero);

	if (!state || !word)
		return 0;
	state->part = (state->records + SWEEP_PARTS - 1) / SWEEP_PARTS;
	state->ticks += state->ticks % SWEEP_PARTS == 0;
	age_part(state, word, bpf_jiffies64());
	return state->part;
}
