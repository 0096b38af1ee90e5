/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* ARP (RFC 826) and neighbour discovery (RFC 4861) of pods: answered for the gateway, here, and never passed on. */
#pragma once
#include "deliver.h"

#define ARP_REQUEST 1

struct arp_frame {
	__u8 target[6];
	__u8 from[6];
	__be16 ethertype;
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender_address[4];
	__u8 target_mac[6];
	__u8 target_address[4];
} __attribute__((packed));

/* Body of a solicitation or advertisement without options. */
struct neighbour_message {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__u8 flags[4];
	__u64 target[2];
} __attribute__((packed));

struct neighbour_answer {
	struct ethhdr ethernet;
	__u32 version;
	__be16 payload;
	__u8 next;
	__u8 hop_limit;
	__u64 source[2];
	__u64 destination[2];
	struct neighbour_message message;
	__u8 option[2];
	__u8 mac[6];
} __attribute__((packed));

static __always_inline bool owns(__u32 endpoint, const __u64 *address)
{
	struct addr_value *value = bpf_map_lookup_elem(&addrs, address);

	return value && value->flags & ADDRESS_FLAG_LOCAL && value->endpoint == endpoint;
}

/*
 * An ARP packet of endpoint `number`. Copies the frame, which bpf_skb_load_bytes has bounded, and answers a request for
 * the gateway by turning it round. A sender of 0.0.0.0 is a probe (RFC 5227).
 */
static __noinline int answer_arp(struct __sk_buff *skb, __u32 number, struct packet *p)
{
	struct arp_frame arp;
	__be32 sender, target;
	__u64 address[2];

	if (bpf_skb_load_bytes(skb, 0, &arp, sizeof(arp)))
		return -REASON_MALFORMED;
	if (arp.hardware != bpf_htons(1) || arp.protocol != bpf_htons(ETH_P_IP) || arp.hardware_length != 6 ||
	    arp.protocol_length != 4)
		return -REASON_MALFORMED;
	__builtin_memcpy(&sender, arp.sender_address, 4);
	__builtin_memcpy(&target, arp.target_address, 4);
	p->source[1] = mapped4(sender);
	p->destination[1] = mapped4(target);
	p->family = 4;
	address[0] = 0;
	address[1] = mapped4(sender);
	if (sender && !owns(number, address))
		return -REASON_SPOOFED_ARP;
	if (arp.operation != bpf_htons(ARP_REQUEST) || target != bpf_htonl(GATEWAY_ADDRESS4))
		return sender == target ? -REASON_BROADCAST : -REASON_NO_ROUTE;

	__builtin_memcpy(arp.target, arp.from, 6);
	__builtin_memcpy(arp.target_mac, arp.sender_mac, 6);
	gateway_mac(arp.from);
	gateway_mac(arp.sender_mac);
	arp.operation = bpf_htons(2);
	__builtin_memcpy(arp.target_address, arp.sender_address, 4);
	__builtin_memcpy(arp.sender_address, &target, 4);
	if (bpf_skb_store_bytes(skb, 0, &arp, sizeof(arp), 0))
		return -REASON_INTERNAL;
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline __sum16 fold(__s64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Answers a solicitation for fe80::1 that came from `p`. The frame gets as long as the answer is. */
static __noinline int advertise_gateway(struct __sk_buff *skb, const struct packet *p)
{
	struct neighbour_answer answer = {};
	const __u32 body = sizeof(answer) - __builtin_offsetof(struct neighbour_answer, message);
	bool anonymous = !p->source[0] && !p->source[1];
	struct {
		__u64 source[2];
		__u64 destination[2];
		__be32 length;
		__be32 next;
	} pseudo = {};
	__s64 sum;

	if (bpf_skb_load_bytes(skb, 6, answer.ethernet.h_dest, 6))
		return -REASON_MALFORMED;
	gateway_mac(answer.ethernet.h_source);
	answer.ethernet.h_proto = bpf_htons(ETH_P_IPV6);
	answer.version = bpf_htonl(6u << 28);
	answer.payload = bpf_htons(body);
	answer.next = IPPROTO_ICMPV6;
	answer.hop_limit = 255;
	__builtin_memcpy(answer.source, gateway6, 16);
	if (anonymous) {
		/* Nobody to answer to: all nodes, ff02::1. */
		answer.destination[0] = 0x02ffull;
		answer.destination[1] = 0x01ull << 56;
	} else {
		__builtin_memcpy(answer.destination, p->source, 16);
	}
	answer.message.type = ICMP6_NEIGHBOUR_ADVERT;
	/* Router, override, and solicited when somebody asked. */
	answer.message.flags[0] = anonymous ? 0xa0 : 0xe0;
	__builtin_memcpy(answer.message.target, gateway6, 16);
	answer.option[0] = 2; /* target link-layer address */
	answer.option[1] = 1;
	gateway_mac(answer.mac);

	__builtin_memcpy(pseudo.source, answer.source, 16);
	__builtin_memcpy(pseudo.destination, answer.destination, 16);
	pseudo.length = bpf_htonl(body);
	pseudo.next = bpf_htonl(IPPROTO_ICMPV6);
	sum = bpf_csum_diff(NULL, 0, (void *)&pseudo, sizeof(pseudo), 0);
	if (sum < 0)
		return -REASON_INTERNAL;
	struct neighbour_body {
		struct neighbour_message message;
		__u8 option[2];
		__u8 mac[6];
	} __attribute__((packed, aligned(4))) copy;

	__builtin_memcpy(&copy, &answer.message, sizeof(copy));
	sum = bpf_csum_diff(NULL, 0, (void *)&copy, sizeof(copy), sum);
	if (sum < 0)
		return -REASON_INTERNAL;
	answer.message.checksum = fold(sum);
	if (bpf_skb_change_tail(skb, sizeof(answer), 0) || bpf_skb_store_bytes(skb, 0, &answer, sizeof(answer), 0))
		return -REASON_INTERNAL;
	return bpf_redirect(skb->ifindex, 0);
}

/* A neighbour discovery message (types 133 to 137) of endpoint `number`. The fixed part is copied, so bounded. */
static __noinline int answer_neighbour(struct __sk_buff *skb, __u32 number, const struct packet *p)
{
	struct neighbour_message message;
	__u8 hop_limit;
	bool anonymous = !p->source[0] && !p->source[1];

	switch (p->icmp_type) {
	case ICMP6_ROUTER_ADVERT:
		return -REASON_ROUTER_ADVERTISEMENT;
	case ICMP6_REDIRECT_MESSAGE:
		return -REASON_REDIRECT;
	case ICMP6_ROUTER_SOLICIT:
		return -REASON_MULTICAST;
	}
	if (bpf_skb_load_bytes(skb, ETH_HLEN + 7, &hop_limit, 1) ||
	    bpf_skb_load_bytes(skb, p->transport, &message, sizeof(message)) || hop_limit != 255 || message.code)
		return -REASON_MALFORMED;
	if (!anonymous && (is_gateway(p->source) || (!is_link_local6(p->source) && !owns(number, p->source))))
		return -REASON_SPOOFED_NEIGHBOUR;

	__u64 target[2];

	__builtin_memcpy(target, message.target, 16);
	if (message.type == ICMP6_NEIGHBOUR_SOLICIT) {
		if (is_gateway(target) && target[0])
			return advertise_gateway(skb, p);
		/* Duplicate address detection: nobody else can have it. */
		return anonymous ? -REASON_MULTICAST : -REASON_NO_ROUTE;
	}
	if (is_gateway(target) || (!is_link_local6(target) && !owns(number, target)))
		return -REASON_SPOOFED_NEIGHBOUR;
	return -REASON_MULTICAST;
}
