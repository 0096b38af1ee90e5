/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Whether a packet may come from where it came from (docs/design.md, 4.1). */
#pragma once
#include "flow.h"

/* Whether the frame came through the tunnel from `node`. */
__noinline int came_from_node(struct __sk_buff *skb, __u32 number)
{
	struct node *node = bpf_map_lookup_elem(&nodes, &number);
	struct bpf_tunnel_key tunnel;
	__u64 outer[2], address[2];

	if (!node || !node->valid)
		return false;
	if (bpf_skb_get_tunnel_key(skb, &tunnel, sizeof(tunnel), overlay_family == 6 ? BPF_F_TUNINFO_IPV6 : 0))
		return false;
	if (overlay_family == 6) {
		__builtin_memcpy(outer, tunnel.remote_ipv6, 16);
	} else {
		outer[0] = 0;
		outer[1] = mapped4(bpf_htonl(tunnel.remote_ipv4));
	}
	__builtin_memcpy(address, node->address, 16);
	return same_address(outer, address);
}

/*
 * Number of the node whose outer address sent this frame, or 0: for an inner source that is nothing known yet, which
 * must come from one of the nodes all the same.
 */
__noinline __u32 sending_node(struct __sk_buff *skb)
{
	struct bpf_tunnel_key tunnel;
	struct addr_value *value;
	__u64 outer[2];

	if (bpf_skb_get_tunnel_key(skb, &tunnel, sizeof(tunnel), overlay_family == 6 ? BPF_F_TUNINFO_IPV6 : 0))
		return 0;
	if (overlay_family == 6) {
		__builtin_memcpy(outer, tunnel.remote_ipv6, 16);
	} else {
		outer[0] = 0;
		outer[1] = mapped4(bpf_htonl(tunnel.remote_ipv4));
	}
	value = bpf_map_lookup_elem(&addrs, outer);
	if (!value || !(value->flags & ADDRESS_FLAG_NODE) || !came_from_node(skb, value->node))
		return 0;
	return value->node;
}

/* Quick form for a packet of a record: whether the sending end, as the record has it, may arrive here. `flags`: the record's. */
static __always_inline bool arrives_right(struct __sk_buff *skb, __u32 hook, bool node_socket, const struct flow *flow, __u32 flags,
					  bool forward)
{
	__u32 kind = forward ? flow->source_hop_kind : flow->destination_hop_kind;
	__u32 hop = forward ? flow->source_hop : flow->destination_hop;
	bool node_source = forward && flags & FLOW_FLAG_NODE_SOURCE;

	switch (hook) {
	case HOOK_POD:
		return kind == HOP_KIND_LOCAL && hop == skb->ifindex;
	case HOOK_OVERLAY:
		return kind == HOP_KIND_OVERLAY && came_from_node(skb, hop);
	case HOOK_UPLINK:
		return (kind == HOP_KIND_STACK && hop == 0) || (routing == ROUTING_NATIVE && kind == HOP_KIND_NATIVE);
	default:
		return kind == HOP_KIND_STACK && (!node_source || node_socket);
	}
}

/* Sources that no host has: unspecified, loopback, multicast, and what IPv4 reserves (RFC 6890, RFC 4291). */
static __always_inline bool is_martian(const struct packet *p)
{
	__u32 first;

	if (p->family == 6)
		return (p->source[0] & 0xff) == 0xff || (p->source[0] == 0 && (p->source[1] == 0 || p->source[1] == 0x01ull << 56));
	first = (p->source[1] >> 32) & 0xff;
	return first == 0 || first == 127 || first >= 224;
}

/* Full form: whether the packet's source may arrive at this hook. Returns REASON_NONE or why not. */
static __always_inline int check_source(struct __sk_buff *skb, struct context *c, __u32 hook, struct end *source)
{
	switch (hook) {
	case HOOK_POD: {
		__u32 ifindex = skb->ifindex;
		__u32 *number;

		if (source->hop_kind == HOP_KIND_LOCAL && source->hop == ifindex)
			return REASON_NONE;
		number = bpf_map_lookup_elem(&endpoint_by_ifindex, &ifindex);
		if (!number)
			return REASON_NOT_READY;
		c->verdict.source_endpoint = *number;
		return source->endpoint == *number ? REASON_NONE : REASON_SPOOFED_SOURCE;
	}
	case HOOK_OVERLAY:
		if (source->hop_kind == HOP_KIND_OVERLAY)
			return came_from_node(skb, source->hop) ? REASON_NONE : REASON_OVERLAY_SOURCE;
		if (!source->known && source->flags & ADDRESS_FLAG_UNKNOWN) {
			__u32 number = sending_node(skb);

			source->hop = number;
			source->hop_kind = HOP_KIND_OVERLAY;
			return number ? REASON_NONE : REASON_OVERLAY_SOURCE;
		}
		return REASON_OVERLAY_SOURCE;
	case HOOK_UPLINK:
		if (is_martian(&c->packet))
			return REASON_SPOOFED_SOURCE;
		if (source->hop_kind == HOP_KIND_STACK && source->hop == 0)
			return REASON_NONE;
		if (routing == ROUTING_NATIVE && (source->hop_kind == HOP_KIND_NATIVE || (!source->known && source->flags & ADDRESS_FLAG_UNKNOWN)))
			return REASON_NONE;
		return REASON_WRONG_INTERFACE;
	default:
		/* A proxy here that sends with another's address is judged as that other. */
		c->node_socket = c->node_socket && (!source->known || source->flags & ADDRESS_FLAG_SELF);
		if (c->node_socket) {
			node_end(c->packet.family, side_of(c), c->word, source);
			return REASON_NONE;
		}
		if (is_martian(&c->packet))
			return REASON_SPOOFED_SOURCE;
		/* The tunnel's own program hands over what is for pods: what comes this way was seen by none. */
		if (overlay_ifindex && skb->ingress_ifindex == overlay_ifindex)
			return REASON_WRONG_INTERFACE;
		/* What pods send is handed over at their own hooks and never comes back through the stack. */
		if (source->known && !(source->flags & (ADDRESS_FLAG_NODE | ADDRESS_FLAG_SELF)))
			return REASON_WRONG_INTERFACE;
		return REASON_NONE;
	}
}
