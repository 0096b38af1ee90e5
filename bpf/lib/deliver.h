/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Hands a packet that may pass to where it goes. */
#pragma once
#include "event.h"

static __always_inline void gateway_mac(__u8 *mac)
{
	const __u8 bytes[6] = {GATEWAY_MAC_HIGH >> 24, GATEWAY_MAC_HIGH >> 16 & 0xff, GATEWAY_MAC_HIGH >> 8 & 0xff,
			       GATEWAY_MAC_HIGH & 0xff, GATEWAY_MAC_LOW >> 8, GATEWAY_MAC_LOW & 0xff};

	__builtin_memcpy(mac, bytes, sizeof(bytes));
}

/*
 * To the interface of a local pod. From an ingress hook straight into the pod's namespace: the frame keeps its MAC
 * addresses, which the receiver took for its own side's already. bpf_redirect_peer does not work at heddle0's egress:
 * there the frame goes out of the host side, with the pod's MAC address. Both keep skb->mark, which means nothing in a pod.
 */
static __always_inline int deliver_local(struct __sk_buff *skb, __u32 hook, __u32 ifindex, __u32 number)
{
	struct endpoint *endpoint;

	skb->mark = 0;
	if (hook != HOOK_HOST)
		return bpf_redirect_peer(ifindex, 0);
	endpoint = bpf_map_lookup_elem(&endpoints, &number);
	if (!endpoint)
		return -REASON_NO_ENDPOINT;
	if (bpf_skb_store_bytes(skb, 0, endpoint->mac, sizeof(endpoint->mac), 0))
		return -REASON_INTERNAL;
	return bpf_redirect(ifindex, 0);
}

/* To another node through the tunnel. The inner addresses are those that its tunnel device takes for itself. */
static __noinline int deliver_overlay(struct __sk_buff *skb, __u32 hook, __u32 number)
{
	struct node *node = bpf_map_lookup_elem(&nodes, &number);
	struct bpf_tunnel_key tunnel = { .tunnel_id = VNI, .tunnel_ttl = 64 };
	__u64 flags = BPF_F_ZERO_CSUM_TX;

	if (!node || !node->valid)
		return -REASON_NO_ROUTE;
	if (node->family == 6) {
		__builtin_memcpy(tunnel.remote_ipv6, node->address, 16);
		flags = BPF_F_TUNINFO_IPV6;
	} else {
		/* The helper takes IPv4 in host order. */
		tunnel.remote_ipv4 = bpf_ntohl(*(__be32 *)(node->address + 12));
	}
	if (hook == HOOK_HOST) {
		__u8 macs[12];

		/* VXLAN drops what comes from its own address as a loop: the node's own packets have another. */
		gateway_mac(macs);
		gateway_mac(macs + 6);
		macs[10] = NODE_MAC_LOW >> 8;
		macs[11] = NODE_MAC_LOW & 0xff;
		if (bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
			return -REASON_INTERNAL;
	}
	if (bpf_skb_set_tunnel_key(skb, &tunnel, sizeof(tunnel), flags))
		return -REASON_ENCAPSULATION;
	return bpf_redirect(overlay_ifindex, 0);
}

/* To another node over the uplink as it is. */
static __noinline int deliver_native(__u32 number)
{
	struct node *node = bpf_map_lookup_elem(&nodes, &number);
	struct bpf_redir_neigh hop = {};

	if (!node || !node->valid)
		return -REASON_NO_ROUTE;
	if (node->family == 6) {
		hop.nh_family = 10; /* AF_INET6 */
		__builtin_memcpy(hop.ipv6_nh, node->address, 16);
	} else {
		hop.nh_family = 2; /* AF_INET */
		hop.ipv4_nh = *(__be32 *)(node->address + 12);
	}
	return bpf_redirect_neigh(uplink_ifindex, &hop, sizeof(hop), 0);
}

/* Returns what the program returns, or a negative reason. `known`: the end has an entry of its own. */
static __always_inline int deliver(struct __sk_buff *skb, __u32 hook, __u32 kind, __u32 hop, __u32 endpoint)
{
	switch (kind) {
	case HOP_KIND_LOCAL:
		return deliver_local(skb, hook, hop, endpoint);
	case HOP_KIND_OVERLAY:
		return deliver_overlay(skb, hook, hop);
	case HOP_KIND_NATIVE:
		return deliver_native(hop);
	case HOP_KIND_STACK:
		/* From heddle0 there is no way back into the stack. */
		return hook == HOOK_HOST ? -REASON_NO_ROUTE : TC_ACT_OK;
	default:
		return -REASON_NO_ROUTE;
	}
}
