/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From bytes to struct packet. Every function here that touches packet bytes states what it has checked; nothing
 * behind it looks at the packet's headers again, except the neighbour and ICMP error code, which copy.
 */
#pragma once
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <stdbool.h>
#include "abi.generated.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "addresses are handled as little-endian u64"
#endif


#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT_MESSAGE 5
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED_MESSAGE 11
#define ICMP_PARAMETER 12
#define ICMP6_ERROR_LAST 4
#define ICMP6_ECHO_ASK 128
#define ICMP6_ECHO_ANSWER 129
#define ICMP6_ROUTER_SOLICIT 133
#define ICMP6_ROUTER_ADVERT 134
#define ICMP6_NEIGHBOUR_SOLICIT 135
#define ICMP6_NEIGHBOUR_ADVERT 136
#define ICMP6_REDIRECT_MESSAGE 137

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define IP_OFFSET_MASK 0x1fff
#define IP_MORE_FRAGMENTS 0x2000

/* Most bytes that the headers looked at can take; what is pulled into the linear part when they are not there. */
#define HEADERS_ROOM 256
#define MAX_EXTENSIONS 8

enum fragment_place {
	FRAGMENT_NONE,
	FRAGMENT_FIRST,
	FRAGMENT_LATER,
};

/* Addresses are 16 bytes in network order, IPv4 mapped; ports in host order (ICMP: see make_key). */
struct packet {
	__u64 source[2];
	__u64 destination[2];
	__u32 fragment_id;
	__u16 source_port;
	__u16 destination_port;
	__u16 transport; /* offset of the transport header in the frame; 0: not in this fragment */
	__u8 protocol;
	__u8 family; /* 4, 6; 0 before the IP header is read */
	__u8 tcp_flags; /* SCTP: the chunk in TCP's terms */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 fragment; /* enum fragment_place */
};

static __always_inline bool is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

static __always_inline bool like_tcp(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_SCTP;
}

static __always_inline __u64 mapped4(__be32 address)
{
	return 0xffff0000ull | (__u64)address << 32;
}

static __always_inline bool same_address(const __u64 *a, const __u64 *b)
{
	return a[0] == b[0] && a[1] == b[1];
}

/* An SCTP chunk type (RFC 9260, 3.2) as the TCP flags with the same meaning for a connection's life. */
static __always_inline __u8 sctp_flags(__u8 chunk)
{
	switch (chunk) {
	case 1: /* INIT */
		return TCP_SYN;
	case 2: /* INIT ACK */
		return TCP_SYN | TCP_ACK;
	case 6: /* ABORT */
		return TCP_RST;
	case 7: /* SHUTDOWN */
	case 8: /* SHUTDOWN ACK */
	case 14: /* SHUTDOWN COMPLETE */
		return TCP_FIN | TCP_ACK;
	default:
		return TCP_ACK;
	}
}

/*
 * Reads the transport header at `offset` (at most 14 + 60 for IPv4, bounded by HEADERS_ROOM for IPv6). Checks that the
 * fixed header is whole, and that it ends before `limit`, where the IP packet does: what a frame has behind that is
 * padding, which the receiver cuts off. Sets ports, flags, type and code.
 */
static __always_inline int parse_transport(void *data, void *end, __u32 offset, __u32 limit, struct packet *p)
{
	const int short_reason = p->fragment == FRAGMENT_FIRST ? REASON_FRAGMENT_INVALID : REASON_MALFORMED;

	if (offset > HEADERS_ROOM)
		return REASON_MALFORMED;
	p->transport = offset;
	__u8 *at = data + offset;

	switch (p->protocol) {
	case IPPROTO_TCP: {
		struct tcphdr *tcp = (void *)at;

		if ((void *)(tcp + 1) > end || offset + tcp->doff * 4 > limit)
			return short_reason;
		if (tcp->doff < 5)
			return REASON_MALFORMED;
		p->source_port = bpf_ntohs(tcp->source);
		p->destination_port = bpf_ntohs(tcp->dest);
		p->tcp_flags = at[13];
		return REASON_NONE;
	}
	case IPPROTO_UDP: {
		struct udphdr *udp = (void *)at;

		if ((void *)(udp + 1) > end || offset + sizeof(*udp) > limit)
			return short_reason;
		p->source_port = bpf_ntohs(udp->source);
		p->destination_port = bpf_ntohs(udp->dest);
		return REASON_NONE;
	}
	case IPPROTO_SCTP:
		/* Common header (12 bytes) and the first chunk's (4). */
		if ((void *)(at + 16) > end || offset + 16 > limit)
			return short_reason;
		p->source_port = bpf_ntohs(*(__be16 *)at);
		p->destination_port = bpf_ntohs(*(__be16 *)(at + 2));
		p->tcp_flags = sctp_flags(at[12]);
		return REASON_NONE;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((void *)(at + 8) > end || offset + 8 > limit)
			return short_reason;
		p->icmp_type = at[0];
		p->icmp_code = at[1];
		p->source_port = bpf_ntohs(*(__be16 *)(at + 4));
		p->destination_port = (__u16)at[0] << 8 | at[1];
		return REASON_NONE;
	default:
		return REASON_NONE;
	}
}

/*
 * IPv4: header at 14, checked to be whole with its options and inside the frame. GSO packets over 64 KB have a total
 * length of 0.
 */
static __always_inline int parse4(struct __sk_buff *skb, void *data, void *end, struct packet *p)
{
	struct iphdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end)
		return REASON_MALFORMED;
	p->source[0] = 0;
	p->source[1] = mapped4(ip->saddr);
	p->destination[0] = 0;
	p->destination[1] = mapped4(ip->daddr);
	p->family = 4;
	p->protocol = ip->protocol;

	__u32 header = ip->ihl * 4;
	__u32 total = bpf_ntohs(ip->tot_len);
	__u32 offset = bpf_ntohs(ip->frag_off);

	if (ip->version != 4 || header < sizeof(*ip) || data + ETH_HLEN + header > end)
		return REASON_MALFORMED;
	if (total ? total < header || total > skb->len - ETH_HLEN : !skb->gso_size)
		return REASON_MALFORMED;
	if (p->protocol == IPPROTO_ICMPV6)
		return REASON_MALFORMED;
	if (ip->ttl == 0)
		return REASON_HOP_LIMIT;
	if (offset & (IP_OFFSET_MASK | IP_MORE_FRAGMENTS)) {
		__u32 bytes = (offset & IP_OFFSET_MASK) * 8;

		p->fragment_id = ip->id;
		p->fragment = bytes ? FRAGMENT_LATER : FRAGMENT_FIRST;
		/* RFC 1858: no fragment may begin inside the TCP header, none may end beyond 64 KB. */
		if (bytes + total > 65535 || (bytes && bytes < 20 && like_tcp(p->protocol)))
			return REASON_FRAGMENT_INVALID;
		if (bytes)
			return REASON_NONE;
	}
	return parse_transport(data, end, ETH_HLEN + header, total ? ETH_HLEN + total : skb->len, p);
}

/*
 * Walks the extension headers of IPv6 from `offset` by copying two to eight bytes of each, not beyond `limit`, where the
 * packet ends. Leaves the transport protocol in p->protocol and returns its offset, or a negative reason.
 */
__noinline int walk_extensions(struct __sk_buff *skb, struct packet *p, __u32 offset, __u32 limit)
{
	__u8 head[8];

	if (!p)
		return -REASON_INTERNAL;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		switch (p->protocol) {
		case IPPROTO_HOPOPTS:
			/* RFC 8200, 4.1: only right behind the fixed header. */
			if (i)
				return -REASON_EXTENSION_HEADER;
			break;
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_FRAGMENT:
		case IPPROTO_AH:
			break;
		case 135: /* mobility */
		case 139: /* HIP */
		case 140: /* shim6 */
			return -REASON_EXTENSION_HEADER;
		default:
			return offset;
		}
		if (offset > HEADERS_ROOM - sizeof(head) || offset + sizeof(head) > limit ||
		    bpf_skb_load_bytes(skb, offset, head, sizeof(head)))
			return -REASON_MALFORMED;
		if (p->protocol == IPPROTO_FRAGMENT) {
			__u32 place = bpf_ntohs(*(__be16 *)(head + 2));
			__u32 bytes = place & 0xfff8;

			p->protocol = head[0];
			offset += 8;
			if (!(place & 0xfff9))
				continue; /* RFC 6946: an atomic fragment is a whole packet */
			if (p->fragment != FRAGMENT_NONE)
				return -REASON_EXTENSION_HEADER;
			p->fragment_id = *(__u32 *)(head + 4);
			p->fragment = bytes ? FRAGMENT_LATER : FRAGMENT_FIRST;
			if (bytes + skb->len - offset > 65535 || (bytes && bytes < 20 && like_tcp(p->protocol)))
				return -REASON_FRAGMENT_INVALID;
			if (bytes)
				return 0;
			continue;
		}
		/* RFC 5095; with segments left the packet would go on to an address that nobody judged. */
		if (p->protocol == IPPROTO_ROUTING && head[3] != 0)
			return -REASON_EXTENSION_HEADER;
		offset += p->protocol == IPPROTO_AH ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
		p->protocol = head[0];
	}
	return -REASON_EXTENSION_HEADER;
}

/* IPv6: fixed header at 14, checked to be whole and inside the frame. May reread the packet's bounds. */
static __always_inline int parse6(struct __sk_buff *skb, void *data, void *end, struct packet *p)
{
	struct ipv6hdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end)
		return REASON_MALFORMED;
	__builtin_memcpy(p->source, &ip->saddr, 16);
	__builtin_memcpy(p->destination, &ip->daddr, 16);
	p->family = 6;
	p->protocol = ip->nexthdr;

	__u32 payload = bpf_ntohs(ip->payload_len);
	/* GSO packets over 64 KB have a payload length of 0. */
	__u32 limit = payload || !skb->gso_size ? ETH_HLEN + sizeof(*ip) + payload : skb->len;

	if (ip->version != 6 || payload > skb->len - ETH_HLEN - sizeof(*ip))
		return REASON_MALFORMED;
	if (ip->hop_limit == 0)
		return REASON_HOP_LIMIT;
	/* ::ffff:a.b.c.d on the wire would be taken for the IPv4 address (RFC 4942, 2.2). */
	if ((p->source[0] == 0 && (__u32)p->source[1] == 0xffff0000u) ||
	    (p->destination[0] == 0 && (__u32)p->destination[1] == 0xffff0000u))
		return REASON_MALFORMED;
	if (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_ICMPV6)
		return parse_transport(data, end, ETH_HLEN + sizeof(*ip), limit, p);

	int offset = walk_extensions(skb, p, ETH_HLEN + sizeof(*ip), limit);

	if (offset < 0)
		return -offset;
	if (p->protocol == IPPROTO_ICMP)
		return REASON_MALFORMED;
	if (p->fragment == FRAGMENT_LATER)
		return REASON_NONE;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	return parse_transport(data, end, offset, limit, p);
}

static __always_inline int parse_headers(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	__builtin_memset(p, 0, sizeof(*p));
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return parse4(skb, data, end, p);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return parse6(skb, data, end, p);
	return REASON_ETHERTYPE;
}

/* The same after pulling the headers into the linear part of the packet. Global, as those in policy.h: verified once. */
__noinline int parse_pulled(struct __sk_buff *skb, struct packet *p)
{
	__u32 length = skb->len;

	if (!p)
		return REASON_INTERNAL;
	if (bpf_skb_pull_data(skb, length < HEADERS_ROOM ? length : HEADERS_ROOM))
		return REASON_MALFORMED;
	return parse_headers(skb, p);
}

/*
 * Fills `p` from the frame; all its fields are set. Returns REASON_NONE, or why the packet cannot be judged; what had
 * been read until then stays in `p` for the event.
 */
static __always_inline int parse(struct __sk_buff *skb, struct packet *p)
{
	__u32 linear = skb->data_end - skb->data;
	int reason = parse_headers(skb, p);

	if (reason != REASON_NONE && linear < HEADERS_ROOM && linear < skb->len)
		return parse_pulled(skb, p);
	return reason;
}
