/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Later fragments have no ports: they get those of their first, which was let through before. */
#pragma once
#include "parse.h"

static __always_inline void fragment_key(const struct packet *p, struct fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->source, p->source, 16);
	__builtin_memcpy(key->destination, p->destination, 16);
	key->id = p->fragment_id;
	key->protocol = p->protocol;
}

/* Fills the ports of a later fragment; returns REASON_FRAGMENT_EARLY when its first has not been let through. */
__noinline int recall_fragment(struct packet *p, __u32 now)
{
	struct fragment_key key;
	struct fragment_value *value;

	if (!p)
		return REASON_INTERNAL;
	fragment_key(p, &key);
	value = bpf_map_lookup_elem(&fragments, &key);
	if (!value || (__s32)(now - value->expires) > 0)
		return REASON_FRAGMENT_EARLY;
	p->source_port = value->source_port;
	p->destination_port = value->destination_port;
	if (is_icmp(p->protocol)) {
		p->icmp_type = value->destination_port >> 8;
		p->icmp_code = value->destination_port & 0xff;
	}
	if (like_tcp(p->protocol))
		p->tcp_flags = TCP_ACK;
	return REASON_NONE;
}

/* Remembers the ports of a first fragment that is let through. */
__noinline int remember_fragment(const struct packet *p, __u32 expires)
{
	struct fragment_key key;
	struct fragment_value value;

	if (!p)
		return REASON_INTERNAL;
	value.source_port = p->source_port;
	value.destination_port = p->destination_port;
	value.expires = expires;
	fragment_key(p, &key);
	return bpf_map_update_elem(&fragments, &key, &value, BPF_ANY) ? REASON_INTERNAL : REASON_NONE;
}
