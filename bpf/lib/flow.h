/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The record of a flow: its key, its life, and judging it. */
#pragma once
#include "deliver.h"
#include "fragment.h"

/* What one packet's way through a program shares. */
struct context {
	struct packet packet;
	struct flow_key key;
	struct verdict verdict;
	struct flow *found; /* the record of c->key, which may be past its time; NULL: none. Set before a packet is judged */
	const struct live *word; /* read once: both ends are judged by one generation */
	__u32 generation;
	__u32 hook;
	__u32 now; /* jiffies, low half */
	bool source_high; /* the packet's source is the high end of the key */
	bool node_socket; /* sent by a socket of this node */
};

static __always_inline __u32 side_of(const struct context *c)
{
	return c->generation & 1;
}

static __always_inline bool is_error(const struct packet *p)
{
	if (p->family == 4)
		return p->icmp_type == ICMP_UNREACHABLE || p->icmp_type == ICMP_SOURCE_QUENCH ||
		       p->icmp_type == ICMP_TIME_EXCEEDED_MESSAGE || p->icmp_type == ICMP_PARAMETER;
	return p->icmp_type >= 1 && p->icmp_type <= ICMP6_ERROR_LAST;
}

/*
 * Makes the key of both directions. ICMP: an echo's identifier stands in both ports, and the key says which end asks, so
 * that a request never passes as the answer of another; other messages are one way.
 */
static __always_inline void make_key(const struct packet *p, struct flow_key *key, bool *source_high)
{
	__u64 source_port = p->source_port, destination_port = p->destination_port, kind = FLOW_KIND_PORTS;
	bool high;

	if (p->source[1] != p->destination[1])
		high = p->source[1] > p->destination[1];
	else if (p->source[0] != p->destination[0])
		high = p->source[0] > p->destination[0];
	else
		high = !is_icmp(p->protocol) && source_port > destination_port;
	if (is_icmp(p->protocol)) {
		bool ask = p->icmp_type == (p->family == 4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_ASK);
		bool answer = p->icmp_type == (p->family == 4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_ANSWER);

		if (ask || answer) {
			kind = high == ask ? FLOW_KIND_ECHO_FROM_HIGH : FLOW_KIND_ECHO_FROM_LOW;
			destination_port = source_port;
		} else {
			kind = high ? FLOW_KIND_ICMP_FROM_HIGH : FLOW_KIND_ICMP_FROM_LOW;
			source_port = destination_port;
		}
	}
	__builtin_memcpy(key->low, high ? p->destination : p->source, 16);
	__builtin_memcpy(key->high, high ? p->source : p->destination, 16);
	/* One store: the hashes read these fields in other sizes, and would wait for stores of each. */
	_Static_assert(__builtin_offsetof(struct flow_key, high_port) == __builtin_offsetof(struct flow_key, low_port) + 2 &&
			       __builtin_offsetof(struct flow_key, protocol) == __builtin_offsetof(struct flow_key, low_port) + 4 &&
			       __builtin_offsetof(struct flow_key, kind) == __builtin_offsetof(struct flow_key, low_port) + 5,
		       "ports, protocol and kind lie in one word");
	*(__u64 *)&key->low_port = (high ? destination_port : source_port) | (high ? source_port : destination_port) << 16 |
				   (__u64)p->protocol << 32 | kind << 40;
	*source_high = high;
}

static __always_inline bool is_past(__u32 expires, __u32 now)
{
	return (__s32)(now - expires) > 0;
}

/* Takes a flow out of the half-open count, once. */
static __always_inline void close_half_open(struct flow *flow)
{
	__u32 number = flow->source_endpoint ? flow->source_endpoint : flow->destination_endpoint;
	__u32 *count;

	if (!(__sync_fetch_and_and(&flow->flags, ~FLOW_FLAG_HALF_OPEN) & FLOW_FLAG_HALF_OPEN))
		return;
	count = bpf_map_lookup_elem(&half_open, &number);
	/* Never below zero: a record that user space wrote back while it closed would be counted out twice. */
	if (count && __sync_fetch_and_add(count, -1) == 0)
		__sync_fetch_and_add(count, 1);
}

static __always_inline void write_ends(struct flow *flow, const struct end *source, const struct end *destination)
{
	flow->source_hop = source->hop;
	flow->source_hop_kind = source->hop_kind;
	flow->destination_hop = destination->hop;
	flow->destination_hop_kind = destination->hop_kind;
	flow->source_endpoint = source->endpoint;
	flow->destination_endpoint = destination->endpoint;
}

/* A record's generation below and its flags above, read and replaced as one: a verdict never stands under another's generation. */
typedef __u64 __attribute__((may_alias)) judged_word;

static __always_inline __u64 read_judged(const struct flow *flow)
{
	_Static_assert(__builtin_offsetof(struct flow, generation) % 8 == 0, "the word must be aligned");
	_Static_assert(__builtin_offsetof(struct flow, flags) == __builtin_offsetof(struct flow, generation) + 4, "and whole");
	return *(const volatile judged_word *)&flow->generation;
}

/* Whether a generation of records came after another. They count on, also past the end of their 32 bits. */
static __always_inline bool is_later(__u32 generation, __u32 than)
{
	return (__s32)(generation - than) > 0;
}

/*
 * Puts the judgement of c into the record and tells it if it is another, unless a packet of a later generation has been
 * there already. `denied`: the judgement is a drop.
 */
static __noinline int write_judgement(struct __sk_buff *skb, struct context *c, struct flow *flow, bool denied)
{
	bool changed = flow->source_outcome != c->verdict.source_outcome || flow->destination_outcome != c->verdict.destination_outcome;
	__u32 generation = c->generation;

	for (int i = 0; i < 8; i++) {
		__u64 old = read_judged(flow), next = old & ~((__u64)FLOW_FLAG_DENIED << 32 | 0xffffffff);

		if (is_later(old, generation))
			return 0;
		next |= generation | (denied ? (__u64)FLOW_FLAG_DENIED << 32 : 0);
		if (__sync_val_compare_and_swap((judged_word *)&flow->generation, old, next) != old)
			continue;
		flow->source_outcome = c->verdict.source_outcome;
		flow->destination_outcome = c->verdict.destination_outcome;
		if (changed)
			tell_flow(&c->key, flow, EVENT_KIND_FLOW_JUDGED, c->hook, skb->ifindex, c->packet.tcp_flags);
		return 0;
	}
	/* Others changed the flags each time: the next packet judges again. */
	return 0;
}

/*
 * Judges a record again under c->generation, in its original orientation, whichever way the packet goes. A new deny
 * marks it; a later generation that allows it takes the mark away. Returns REASON_NONE or why not.
 */
static __noinline int judge_again(struct __sk_buff *skb, struct context *c, struct flow *flow)
{
	const struct live *word = c->word;
	const struct flow_key *key = &c->key;
	bool high = flow->flags & FLOW_FLAG_SOURCE_IS_HIGH;
	struct end source, destination;
	__u64 judged = read_judged(flow);
	__u64 keys;
	int reason;

	/* A commit came while this packet was under way, and another packet was quicker: its judgement is the newer one. */
	if (is_later(judged, c->generation))
		return judged >> 32 & FLOW_FLAG_DENIED ? REASON_POLICY : REASON_NONE;
	keys = policy_keys(key->protocol, high ? key->high_port : key->low_port,
			   is_icmp(key->protocol) ? (__u16)flow->icmp_type << 8 | flow->icmp_code :
			   high			  ? key->low_port :
						    key->high_port);
	if (flow->flags & FLOW_FLAG_NODE_SOURCE)
		node_end(c->packet.family, side_of(c), word, &source);
	else
		resolve_end((const __u64 *)(high ? key->high : key->low), c->packet.family, side_of(c), word, &source);
	resolve_end((const __u64 *)(high ? key->low : key->high), c->packet.family, side_of(c), word, &destination);
	reason = judge(side_of(c), &c->verdict, keys, &source, &destination);
	/* Its endpoint has another number now, whose count knows nothing of it. */
	if (flow->source_endpoint != source.endpoint || flow->destination_endpoint != destination.endpoint)
		close_half_open(flow);
	write_ends(flow, &source, &destination);
	write_judgement(skb, c, flow, reason != REASON_NONE);
	return reason;
}

/* How long a flow of UDP lives on: a question and its answer are soon over, what goes on may be silent for longer. */
static __always_inline __u32 udp_lifetime(const struct live *word, const struct flow *flow, __u32 flags)
{
	bool lasts = flags & FLOW_FLAG_ESTABLISHED && flow->packets[0] + flow->packets[1] >= UDP_ANSWERED;

	return word->timeouts[lasts ? TIMEOUT_UDP_REPLIED : TIMEOUT_UDP];
}

/* How long a flow lives on from a packet of it that is not counted yet, in ticks. */
static __always_inline __u32 lifetime(const struct live *word, __u8 protocol, const struct flow *flow, __u32 flags)
{
	const __u32 closed = FLOW_FLAG_FIN_SOURCE | FLOW_FLAG_FIN_DESTINATION;

	if (like_tcp(protocol)) {
		if (flags & FLOW_FLAG_RESET || (flags & closed) == closed)
			return word->timeouts[TIMEOUT_TCP_CLOSING];
		return word->timeouts[flags & FLOW_FLAG_ESTABLISHED ? TIMEOUT_TCP_ESTABLISHED : TIMEOUT_TCP_SYN];
	}
	if (is_icmp(protocol))
		return word->timeouts[TIMEOUT_ICMP];
	return udp_lifetime(word, flow, flags);
}

/* What a packet changes in the state of its record. */
static __always_inline __u32 advance(struct flow *flow, const struct packet *p, bool forward)
{
	__u32 flags = flow->flags, next = flags;

	/* A refusal is no reply: what follows it has no connection to confirm. */
	if (!forward && !(like_tcp(p->protocol) && p->tcp_flags & TCP_RST))
		next |= FLOW_FLAG_REPLY_SEEN;
	if (like_tcp(p->protocol)) {
		if (p->tcp_flags & TCP_FIN)
			next |= forward ? FLOW_FLAG_FIN_SOURCE : FLOW_FLAG_FIN_DESTINATION;
		if (p->tcp_flags & TCP_RST)
			next |= FLOW_FLAG_RESET;
		else
			/* A forged reset must not end what goes on. */
			next &= ~FLOW_FLAG_RESET;
		/* The last packet of a handshake; or, where that was before our time, an answer to what was seen. */
		if ((p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK &&
		    (forward ? flags & FLOW_FLAG_REPLY_SEEN : flags & FLOW_FLAG_PICKED && flow->packets[0]))
			next |= FLOW_FLAG_ESTABLISHED;
	} else if (!forward) {
		next |= FLOW_FLAG_ESTABLISHED;
	}
	if (next != flags) {
		if (next & ~flags)
			__sync_fetch_and_or(&flow->flags, next & ~flags);
		if (flags & ~next)
			__sync_fetch_and_and(&flow->flags, ~(flags & ~next));
		if (next & ~flags & FLOW_FLAG_ESTABLISHED)
			close_half_open(flow);
	}
	return next;
}

/* Counts a packet of a record and keeps the record alive until `expires`. */
static __always_inline void count_packet(struct __sk_buff *skb, struct flow *flow, bool forward, __u32 expires)
{
	__u32 segments = skb->gso_segs;

	flow->expires = expires;
	__sync_fetch_and_add(&flow->packets[forward ? 0 : 1], segments ? segments : 1);
	__sync_fetch_and_add(&flow->bytes[forward ? 0 : 1], skb->len - ETH_HLEN);
}

/* Hands a packet of a record to where the record says. `flags`: the record's. Returns what the program returns, or a negative reason. */
static __always_inline int send_on(struct __sk_buff *skb, __u32 hook, const struct flow *flow, __u32 flags, bool forward)
{
	if (forward)
		return deliver(skb, hook, flow->destination_hop_kind, flow->destination_hop, flow->destination_endpoint);
	/* An answer to outside: conntrack knows nothing of the question and would take it for a new flow to masquerade. */
	if (hook == HOOK_POD && flow->source_hop_kind == HOP_KIND_STACK && !(flags & FLOW_FLAG_BY_STACK))
		skb->mark = ANSWER_MARK;
	return deliver(skb, hook, flow->source_hop_kind, flow->source_hop, flow->source_endpoint);
}

/* Puts the key of a new record where the ageing timer comes by; false: there is no room, which a whole table cannot lack. */
static __always_inline bool let_age(const struct flow_key *key)
{
	__u32 zero = 0;
	struct sweep *state = bpf_map_lookup_elem(&sweep, &zero);

	if (!state || bpf_map_push_elem(&flow_keys, key, BPF_ANY))
		return false;
	__sync_fetch_and_add(&state->records, 1);
	return true;
}

/* Makes the record of a judged flow whose first packet this is, in place of a stale one if there is one. */
static __noinline int make_record(struct __sk_buff *skb, struct context *c, const struct end *source, const struct end *destination,
				  bool reversed)
{
	const struct live *word = c->word;
	const __u32 hook = c->hook;
	const struct packet *p = &c->packet;
	__u32 number = source->endpoint ? source->endpoint : destination->endpoint;
	__u32 *count = bpf_map_lookup_elem(&half_open, &number);
	struct flow flow, *stale = c->found;
	__u32 segments = skb->gso_segs;
	int error;

	if (!count)
		return REASON_INTERNAL;
	/*
	 * Every new flow is half open first: without a limit a flood of anything would fill the table. One that is refused
	 * leaves the stale one in the count.
	 */
	if (*count >= word->half_open_limit && !(stale && stale->flags & FLOW_FLAG_HALF_OPEN))
		return REASON_HALF_OPEN_LIMIT;
	if (stale) {
		close_half_open(stale);
		tell_flow(&c->key, stale, EVENT_KIND_FLOW_END, hook, skb->ifindex, p->tcp_flags);
	}
	__builtin_memset(&flow, 0, sizeof(flow));
	flow.generation = c->generation;
	flow.flags = (c->source_high != reversed ? FLOW_FLAG_SOURCE_IS_HIGH : 0) | (source->endpoint ? FLOW_FLAG_JUDGES_SOURCE : 0) |
		     (destination->endpoint ? FLOW_FLAG_JUDGES_DESTINATION : 0) | (c->node_socket && !reversed ? FLOW_FLAG_NODE_SOURCE : 0) |
		     (hook == HOOK_HOST && !reversed ? FLOW_FLAG_BY_STACK : 0) | FLOW_FLAG_HALF_OPEN;
	if (like_tcp(p->protocol) && !(p->tcp_flags & TCP_SYN && !(p->tcp_flags & TCP_ACK)))
		/* The handshake was before our time: believed once the other end speaks too. */
		flow.flags |= FLOW_FLAG_PICKED;
	if (reversed)
		flow.flags |= FLOW_FLAG_REPLY_SEEN;
	write_ends(&flow, source, destination);
	flow.source_outcome = c->verdict.source_outcome;
	flow.destination_outcome = c->verdict.destination_outcome;
	flow.icmp_type = p->icmp_type;
	flow.icmp_code = p->icmp_code;
	flow.created = bpf_ktime_get_coarse_ns();
	flow.expires = c->now + lifetime(word, p->protocol, &flow, flow.flags);
	flow.packets[reversed] = segments ? segments : 1;
	flow.bytes[reversed] = skb->len - ETH_HLEN;
	error = bpf_map_update_elem(&flows, &c->key, &flow, stale ? BPF_EXIST : BPF_NOEXIST);
	if (error == -2) { /* ENOENT: the stale one has aged out meanwhile */
		stale = NULL;
		error = bpf_map_update_elem(&flows, &c->key, &flow, BPF_NOEXIST);
	}
	if (error == -17) /* EEXIST: another CPU made it from another packet of the flow */
		return REASON_NONE;
	if (error)
		return REASON_FLOW_TABLE_FULL;
	if (!stale && !let_age(&c->key)) {
		bpf_map_delete_elem(&flows, &c->key);
		return REASON_FLOW_TABLE_FULL;
	}
	__sync_fetch_and_add(count, 1);
	tell_flow(&c->key, &flow, EVENT_KIND_FLOW_START, hook, skb->ifindex, p->tcp_flags);
	return REASON_NONE;
}
