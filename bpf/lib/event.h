/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is told: drops with their reasons, and the life of flows. The reader is woken by fill level, never per event. */
#pragma once
#include <linux/pkt_cls.h>
#include "policy.h"

#define RING_BYTES (4u << 20)
#define RING_WAKE (RING_BYTES / 4)
#define RING_WAKE_STEP (RING_BYTES / 64)

static __always_inline void count_lost(__u32 kind)
{
	struct lost *counter = bpf_map_lookup_elem(&lost, &kind);

	if (counter)
		counter->events++;
}

/* Room for an event with its header filled, or NULL when the ring is full. */
static __always_inline struct event *begin_event(__u8 kind, __u8 hook, __u64 time)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count_lost(kind);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = time;
	event->kind = kind;
	event->hook = hook;
	return event;
}

static __always_inline void end_event(struct event *event)
{
	__u64 filled = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	__u64 flags = BPF_RB_NO_WAKEUP;

	/* Once past a quarter, and then each time another sixty-fourth has come. */
	if (filled >= RING_WAKE && filled % RING_WAKE_STEP < 2 * sizeof(*event))
		flags = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(event, flags);
}

/* Whether this drop is told by an event, and how many drops it stands for. */
static __always_inline __u32 admit_drop(__u32 endpoint, __u32 reason, __u32 now, __u32 second)
{
	__u32 index = endpoint * MAX_REASONS + reason;
	struct drop_limit *limit = bpf_map_lookup_elem(&drop_limits, &index);
	__u32 since, seen;

	if (!limit)
		return 1;
	since = limit->since;
	if (!limit->count || now - since >= second) {
		seen = limit->count;
		limit->since = now;
		limit->count = 1;
		return seen > DROP_BURST ? 1 + seen - DROP_BURST : 1;
	}
	seen = __sync_fetch_and_add(&limit->count, 1);
	return seen < DROP_BURST ? 1 : 0;
}

/* Counts and tells one dropped packet. `endpoint` is whose share of the events it takes. Returns TC_ACT_SHOT. */
__noinline int drop(struct __sk_buff *skb, const struct packet *p, const struct verdict *v, __u32 hook, __u32 reason)
{
	__u32 zero = 0, endpoint, stands_for;
	struct drop_counter *counter = bpf_map_lookup_elem(&drops, &reason);
	struct live *word = bpf_map_lookup_elem(&live, &zero);
	struct event *event;

	if (!p || !v)
		return TC_ACT_SHOT;
	if (counter) {
		counter->packets++;
		counter->bytes += skb->len;
	}
	if (!word || reason >= MAX_REASONS)
		return TC_ACT_SHOT;
	endpoint = hook == HOOK_POD && v->source_endpoint ? v->source_endpoint : v->destination_endpoint;
	if (!endpoint)
		endpoint = v->source_endpoint;
	/* A late RST or FIN is no news. */
	if (reason == REASON_NO_RECORD && p->tcp_flags & (TCP_RST | TCP_FIN))
		return TC_ACT_SHOT;
	stands_for = admit_drop(endpoint, reason, bpf_jiffies64(), word->timeouts[TIMEOUT_SECOND]);
	if (!stands_for)
		return TC_ACT_SHOT;
	event = begin_event(EVENT_KIND_DROP, hook, bpf_ktime_get_coarse_ns());
	if (!event)
		return TC_ACT_SHOT;
	event->packets[0] = stands_for;
	event->bytes[0] = skb->len;
	__builtin_memcpy(event->source, p->source, 16);
	__builtin_memcpy(event->destination, p->destination, 16);
	event->generation = word->generation;
	event->source_outcome = v->source_outcome;
	event->destination_outcome = v->destination_outcome;
	event->ifindex = skb->ifindex;
	event->source_port = p->source_port;
	event->destination_port = p->destination_port;
	event->source_endpoint = v->source_endpoint;
	event->destination_endpoint = v->destination_endpoint;
	event->reason = reason;
	event->protocol = p->protocol;
	event->tcp_flags = p->tcp_flags;
	event->direction = v->direction;
	end_event(event);
	return TC_ACT_SHOT;
}

/* Tells the beginning, end or new judgement of a flow from its record, whose key gives both ends. */
static __always_inline void tell_flow(const struct flow_key *key, const struct flow *flow, __u8 kind, __u8 hook, __u32 ifindex, __u8 tcp_flags)
{
	struct event *event = begin_event(kind, hook, kind == EVENT_KIND_FLOW_START ? flow->created : bpf_ktime_get_coarse_ns());
	bool high = flow->flags & FLOW_FLAG_SOURCE_IS_HIGH;

	if (!event)
		return;
	event->packets[0] = flow->packets[0];
	event->packets[1] = flow->packets[1];
	event->bytes[0] = flow->bytes[0];
	event->bytes[1] = flow->bytes[1];
	__builtin_memcpy(event->source, high ? key->high : key->low, 16);
	__builtin_memcpy(event->destination, high ? key->low : key->high, 16);
	event->generation = flow->generation;
	event->source_outcome = flow->source_outcome;
	event->destination_outcome = flow->destination_outcome;
	event->ifindex = ifindex;
	event->flow_flags = flow->flags;
	event->source_port = high ? key->high_port : key->low_port;
	event->destination_port = high ? key->low_port : key->high_port;
	if (is_icmp(key->protocol))
		event->destination_port = (__u16)flow->icmp_type << 8 | flow->icmp_code;
	event->source_endpoint = flow->source_endpoint;
	event->destination_endpoint = flow->destination_endpoint;
	event->protocol = key->protocol;
	event->tcp_flags = tcp_flags;
	event->direction = DIRECTION_NONE;
	end_event(event);
}
