/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* ICMP errors (RFC 792, RFC 4443): they belong to the flow whose packet they quote. */
#pragma once
#include "source.h"

/*
 * Reads the quoted packet's tuple into `quoted`. Copies from behind the eight bytes of the ICMP header, so every byte is
 * bounded by the helper. IPv6 extension headers in the quotation are not walked: such an error is judged as given.
 */
__noinline int parse_quotation(struct __sk_buff *skb, const struct packet *p, struct packet *quoted)
{
	__u8 head[8];
	__u32 at;

	if (!p || !quoted)
		return REASON_INTERNAL;
	at = p->transport + 8;
	__builtin_memset(quoted, 0, sizeof(*quoted));
	quoted->family = p->family;
	if (p->family == 4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
			return REASON_MALFORMED;
		/* A later fragment quotes no ports. */
		if (bpf_ntohs(ip.frag_off) & IP_OFFSET_MASK)
			return REASON_NO_RECORD;
		quoted->source[1] = mapped4(ip.saddr);
		quoted->destination[1] = mapped4(ip.daddr);
		quoted->protocol = ip.protocol;
		at += ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 6)
			return REASON_MALFORMED;
		__builtin_memcpy(quoted->source, &ip.saddr, 16);
		__builtin_memcpy(quoted->destination, &ip.daddr, 16);
		quoted->protocol = ip.nexthdr;
		at += sizeof(ip);
	}
	switch (quoted->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (bpf_skb_load_bytes(skb, at, head, sizeof(head)))
			return REASON_MALFORMED;
		if (is_icmp(quoted->protocol)) {
			quoted->icmp_type = head[0];
			quoted->icmp_code = head[1];
			quoted->source_port = bpf_ntohs(*(__be16 *)(head + 4));
			quoted->destination_port = (__u16)head[0] << 8 | head[1];
		} else {
			quoted->source_port = bpf_ntohs(*(__be16 *)head);
			quoted->destination_port = bpf_ntohs(*(__be16 *)(head + 2));
		}
	}
	return REASON_NONE;
}

/*
 * Makes c->key that of the quoted packet. Returns false where the error is to be judged as given: it quotes nothing that
 * can be read, goes to another than the quoted packet's sender, or comes from a pod to which that packet was not sent.
 */
static __noinline bool quoted_key(struct __sk_buff *skb, struct context *c)
{
	struct packet quoted;

	if (parse_quotation(skb, &c->packet, &quoted) || !same_address(quoted.source, c->packet.destination))
		return false;
	if (c->hook == HOOK_POD && !same_address(quoted.destination, c->packet.source))
		return false;
	make_key(&quoted, &c->key, &c->source_high);
	return true;
}

/*
 * An ICMP error. When it quotes a packet of a flow on record, it passes as the flow does, judged again first if the
 * generation is another. Returns what the program returns, a negative reason, or 1 when it is to be judged as given.
 */
static __noinline int follow_error(struct __sk_buff *skb, struct context *c)
{
	struct end source;
	struct flow *flow;
	int reason;

	if (!quoted_key(skb, c))
		return 1;
	flow = bpf_map_lookup_elem(&flows, &c->key);
	if (!flow || is_past(flow->expires, c->now))
		return 1;
	resolve_end(c->packet.source, c->packet.family, side_of(c), c->word, &source);
	reason = check_source(skb, c, c->hook, &source);
	if (reason)
		return -reason;
	if (flow->generation != c->generation)
		reason = judge_again(skb, c, flow);
	else if (flow->flags & FLOW_FLAG_DENIED)
		reason = REASON_POLICY;
	c->verdict.source_outcome = flow->source_outcome;
	c->verdict.destination_outcome = flow->destination_outcome;
	c->verdict.source_endpoint = flow->source_endpoint;
	c->verdict.destination_endpoint = flow->destination_endpoint;
	if (reason)
		return -reason;
	/* Back to the end that sent the quoted packet. */
	if (c->source_high == !!(flow->flags & FLOW_FLAG_SOURCE_IS_HIGH)) {
		if (c->hook == HOOK_POD && flow->source_hop_kind == HOP_KIND_STACK && !(flow->flags & FLOW_FLAG_BY_STACK))
			skb->mark = ANSWER_MARK;
		return deliver(skb, c->hook, flow->source_hop_kind, flow->source_hop, flow->source_endpoint);
	}
	return deliver(skb, c->hook, flow->destination_hop_kind, flow->destination_hop, flow->destination_endpoint);
}
