/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What an address is here: slot, owner, and the way to it. Not on the path of an established packet. */
#pragma once
#include "config.h"
#include "parse.h"

/* Where a packet with this end's address comes from or goes to. */
struct end {
	__u32 slot;
	__u32 flags; /* ADDRESS_FLAG_*; 0 for what lies outside */
	__u32 endpoint; /* local endpoint's number, or 0 */
	__u32 hop; /* as in struct flow */
	__u8 hop_kind;
	__u8 known; /* an entry of its own in addrs */
	__u16 padding;
};

static const __u8 gateway6[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

/* fe80::1 and 169.254.1.1 as struct packet holds them. */
static __always_inline bool is_gateway(const __u64 *address)
{
	return (address[0] == 0x80feull && address[1] == 0x01ull << 56) ||
	       (address[0] == 0 && address[1] == mapped4(bpf_htonl(GATEWAY_ADDRESS4)));
}

static __always_inline bool is_link_local6(const __u64 *address)
{
	return (address[0] & 0xc0ff) == 0x80fe;
}

static __always_inline bool is_multicast(const struct packet *p)
{
	if (p->family == 4)
		return ((p->destination[1] >> 32) & 0xf0) == 0xe0;
	return (p->destination[0] & 0xff) == 0xff;
}

/* Keeps the first `length` bits of an address. */
static __always_inline void mask_address(const __u64 *address, __u32 length, __u64 *into)
{
	if (length >= 128) {
		into[0] = address[0];
		into[1] = address[1];
	} else if (length > 64) {
		into[0] = address[0];
		into[1] = address[1] & bpf_cpu_to_be64(~0ull << (128 - length));
	} else {
		into[0] = length ? address[0] & bpf_cpu_to_be64(~0ull << (64 - length)) : 0;
		into[1] = 0;
	}
}

/* The longest block that contains the address: a probe for each length in use, or the trie when there are too many. */
static __noinline struct prefix_value *lookup_prefix(const __u64 *address, __u32 index)
{
	struct prefix_lengths *in_use = bpf_map_lookup_elem(&prefix_lengths, &index);
	struct prefix_key key;
	__u64 masked[2];

	if (!in_use)
		return NULL;
	if (in_use->trie) {
		key.length = 128;
		__builtin_memcpy(key.address, address, 16);
		struct prefix_value *value = bpf_map_lookup_elem(&prefix_trie, &key);
		bool four = !address[0] && (__u32)address[1] == 0xffff0000u;

		return value && !!(value->flags & ADDRESS_FLAG_FOUR) == four ? value : NULL;
	}
	for (__u32 i = 0; i < MAX_PREFIX_LENGTHS && i < in_use->count; i++) {
		key.length = in_use->lengths[i];
		mask_address(address, key.length, masked);
		__builtin_memcpy(key.address, masked, 16);
		struct prefix_value *value = bpf_map_lookup_elem(&prefixes, &key);

		if (value)
			return value;
	}
	return NULL;
}

/* What belongs to an address without an entry of its own: its block's, or what lies outside. */
__noinline int resolve_block(const struct addr_key *address, __u32 family, __u32 side, const struct live *word, struct end *end)
{
	struct prefix_value *block;

	if (!address || !word || !end)
		return REASON_INTERNAL;
	block = lookup_prefix((const __u64 *)address, side * 2 + (family == 6));
	if (block) {
		end->slot = block->slot;
		end->flags = block->flags & ADDRESS_FLAG_UNKNOWN;
	} else {
		end->slot = family == 6 ? word->outside6[side & 1] : word->outside4[side & 1];
	}
	if (!(end->flags & ADDRESS_FLAG_UNKNOWN))
		end->hop_kind = HOP_KIND_STACK;
	return 0;
}

/* Finds what belongs to an address as struct packet holds it, under the generation whose side is given. */
static __always_inline void resolve_end(const __u64 *address, __u32 family, __u32 side, const struct live *word, struct end *end)
{
	struct addr_value *value;
	struct addr_key key;

	/* Before 6.2 a key must lie on the function's own stack. */
	__builtin_memcpy(&key, address, sizeof(key));
	value = bpf_map_lookup_elem(&addrs, &key);
	__builtin_memset(end, 0, sizeof(*end));
	if (!value) {
		resolve_block(&key, family, side, word, end);
		return;
	}
	end->slot = value->slot;
	end->flags = value->flags;
	end->known = true;
	if (value->flags & ADDRESS_FLAG_LOCAL) {
		__u32 number = value->endpoint;
		struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &number);

		end->endpoint = number;
		if (endpoint && endpoint->ifindex) {
			end->hop = endpoint->ifindex;
			end->hop_kind = HOP_KIND_LOCAL;
		}
	} else if (value->flags & ADDRESS_FLAG_SELF) {
		end->hop = 1;
		end->hop_kind = HOP_KIND_STACK;
	} else if (value->node) {
		end->hop = value->node;
		end->hop_kind = routing == ROUTING_NATIVE ? HOP_KIND_NATIVE : HOP_KIND_OVERLAY;
	}
}

/* The source of what a socket of this node sends, whatever its address. */
static __always_inline void node_end(__u32 family, __u32 side, const struct live *word, struct end *end)
{
	__builtin_memset(end, 0, sizeof(*end));
	end->slot = family == 6 ? word->node6[side] : word->node4[side];
	end->hop = 1;
	end->hop_kind = HOP_KIND_STACK;
	end->known = true;
}
