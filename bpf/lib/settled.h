/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The short way of most packets at the entrances of pods, overlay and uplink: plain headers, and a record that stands and of
 * which the packet changes nothing but the counters. Whatever is not so goes the long way, which would do the same with it.
 */
#pragma once
#include "source.h"

/* What a packet with plain headers is, in registers: both families as in struct packet, the ports as they lie in the packet. */
struct plain {
	__u64 source[2];
	__u64 destination[2];
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 tcp_flags;
};

/*
 * Reads TCP or UDP behind a header of IPv4 without options or IPv6 without extensions, in one piece. Checks what the parser checks,
 * and returns false where it would refuse, or look further.
 */
static __always_inline bool parse_plain(struct __sk_buff *skb, struct plain *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 length = skb->len - ETH_HLEN, total, header;
	void *transport;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		transport = ip + 1;
		header = sizeof(*ip);
		if (transport + sizeof(struct udphdr) > end || *(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IP_OFFSET_MASK | IP_MORE_FRAGMENTS) ||
		    ip->ttl == 0)
			return false;
		total = bpf_ntohs(ip->tot_len);
		p->source[0] = p->destination[0] = 0;
		p->source[1] = mapped4(ip->saddr);
		p->destination[1] = mapped4(ip->daddr);
		p->protocol = ip->protocol;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + ETH_HLEN;

		transport = ip + 1;
		header = sizeof(*ip);
		if (transport + sizeof(struct udphdr) > end || (*(__u8 *)ip & 0xf0) != 0x60 || ip->hop_limit == 0)
			return false;
		total = sizeof(*ip) + bpf_ntohs(ip->payload_len);
		__builtin_memcpy(p->source, &ip->saddr, 16);
		__builtin_memcpy(p->destination, &ip->daddr, 16);
		/* ::ffff:a.b.c.d on the wire is not the IPv4 address. */
		if (!p->source[0] || !p->destination[0])
			return false;
		p->protocol = ip->nexthdr;
	} else {
		return false;
	}
	if (total > length)
		return false;
	if (p->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = transport;

		if ((void *)(tcp + 1) > end || tcp->doff < 5 || header + tcp->doff * 4 > total)
			return false;
		p->tcp_flags = ((__u8 *)transport)[13];
	} else if (p->protocol == IPPROTO_UDP) {
		if (header + sizeof(struct udphdr) > total)
			return false;
		p->tcp_flags = 0;
	} else {
		return false;
	}
	p->source_port = ((__be16 *)transport)[0];
	p->destination_port = ((__be16 *)transport)[1];
	return true;
}

/* Makes the key as make_key does; false for ends with one address. */
static __always_inline bool plain_key(const struct plain *p, struct flow_key *key, bool *source_high)
{
	judged_word *word = (judged_word *)key;
	__u64 source_port = bpf_ntohs(p->source_port), destination_port = bpf_ntohs(p->destination_port);
	bool high;

	if (p->source[1] != p->destination[1])
		high = p->source[1] > p->destination[1];
	else if (p->source[0] != p->destination[0])
		high = p->source[0] > p->destination[0];
	else
		return false;
	if (high) {
		word[0] = p->destination[0];
		word[1] = p->destination[1];
		word[2] = p->source[0];
		word[3] = p->source[1];
		word[4] = destination_port | source_port << 16 | (__u64)p->protocol << 32;
	} else {
		word[0] = p->source[0];
		word[1] = p->source[1];
		word[2] = p->destination[0];
		word[3] = p->destination[1];
		word[4] = source_port | destination_port << 16 | (__u64)p->protocol << 32;
	}
	*source_high = high;
	return true;
}

/* No answer of a program: the packet must go the long way. */
#define LONG_WAY 255

/*
 * Sends on a packet of a flow that the generation in force allows and whose state the packet does not change: the flow went both ways and
 * one end at most has closed it, or it is UDP's and the packet goes the way of the first. Returns what the program returns, or LONG_WAY when nothing was done.
 */
static __always_inline int pass_settled(struct __sk_buff *skb, __u32 hook)
{
	const __u32 settled = FLOW_FLAG_REPLY_SEEN | FLOW_FLAG_ESTABLISHED;
	const __u32 unusual = FLOW_FLAG_RESET | FLOW_FLAG_DENIED, closed = FLOW_FLAG_FIN_SOURCE | FLOW_FLAG_FIN_DESTINATION;
	__u32 zero = 0, now = bpf_jiffies64(), flags, timeout;
	const struct live *word = bpf_map_lookup_elem(&live, &zero);
	struct flow_key key;
	struct flow *flow;
	struct plain p;
	__u64 judged;
	bool high, forward;
	int action;

	if (!word || !parse_plain(skb, &p) || p.tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) || !plain_key(&p, &key, &high))
		return LONG_WAY;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || is_past(flow->expires, now))
		return LONG_WAY;
	judged = read_judged(flow);
	flags = judged >> 32;
	forward = high == !!(flags & FLOW_FLAG_SOURCE_IS_HIGH);
	if ((__u32)judged != *(volatile const __u32 *)&word->generation || flags & unusual || (flags & closed) == closed ||
	    ((flags & settled) != settled && !(forward && p.protocol == IPPROTO_UDP)) ||
	    !arrives_right(skb, hook, false, flow, flags, forward))
		return LONG_WAY;
	action = send_on(skb, hook, flow, flags, forward);
	if (action < 0)
		return LONG_WAY; /* which finds the same, and tells the reason */
	timeout = p.protocol == IPPROTO_TCP ? word->timeouts[TIMEOUT_TCP_ESTABLISHED] : udp_lifetime(word, flow, flags);
	count_packet(skb, flow, forward, now + timeout);
	return action;
}
