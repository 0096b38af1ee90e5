// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What the data plane is measured against: the barest redirect between two interfaces, and the least that an established
 * packet could cost (a parse, one lookup in a hash, counters, a redirect). `spread` gives each run of a packet another
 * source port and calls the program under test, so that one test run goes over many flows.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char gpl[] SEC("license") = "GPL";

/* Interface of the other pod's pair. */
const volatile __u32 peer_ifindex;
/* Flows that `spread` goes through, a power of two. 1: the packet stays as it is. */
const volatile __u32 flow_count = 1;
/* Nonzero: every run has the next source port and address, never one twice. */
const volatile __u32 each_new;
/* Nonzero: what varies is the destination port, as in answers. */
const volatile __u32 back;
/* Bits of the number of tables in `shards`. */
const volatile __u32 shard_bits = 6;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} turn SEC(".maps");

struct key {
	__u32 low, high;
	__u16 low_port, high_port;
	__u32 protocol;
};

struct value {
	__u32 ifindex;
	__u32 expires;
	__u64 packets, bytes;
	__u64 rest;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, struct key);
	__type(value, struct value);
} flows SEC(".maps");

/* The same table with a key and a value as long as those of a flow record that serves both families. */
struct wide_key {
	__u64 words[5];
};

struct wide_value {
	__u32 ifindex;
	__u32 expires;
	__u64 packets, bytes;
	__u64 rest[9];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, struct wide_key);
	__type(value, struct wide_value);
} wide_flows SEC(".maps");

/* The same in 64 tables, as a timer that ages a part at a time wants them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 64);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(max_entries, 2048);
			__type(key, struct wide_key);
			__type(value, struct wide_value);
		});
} shards SEC(".maps");

SEC("tc")
int redirect(struct __sk_buff *skb)
{
	return bpf_redirect_peer(peer_ifindex, 0);
}

SEC("tc")
int nothing(struct __sk_buff *skb)
{
	return TC_ACT_REDIRECT;
}

static __always_inline bool read_key(struct __sk_buff *skb, struct key *key)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 source, destination;

	if (skb->protocol != bpf_htons(ETH_P_IP) || (void *)(tcp + 1) > end || ip->protocol != IPPROTO_TCP)
		return false;
	source = bpf_ntohl(ip->saddr);
	destination = bpf_ntohl(ip->daddr);
	key->low = source < destination ? source : destination;
	key->high = source < destination ? destination : source;
	key->low_port = source < destination ? tcp->source : tcp->dest;
	key->high_port = source < destination ? tcp->dest : tcp->source;
	key->protocol = IPPROTO_TCP;
	return true;
}

SEC("tc")
int established(struct __sk_buff *skb)
{
	struct key key;
	struct value *flow;

	if (!read_key(skb, &key))
		return TC_ACT_SHOT;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow) {
		struct value fresh = { .ifindex = peer_ifindex };

		bpf_map_update_elem(&flows, &key, &fresh, BPF_ANY);
		return TC_ACT_SHOT;
	}
	flow->expires = bpf_jiffies64() + 100;
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, skb->len);
	return bpf_redirect_peer(flow->ifindex, 0);
}

SEC("tc")
int established_wide(struct __sk_buff *skb)
{
	struct wide_key wide = {};
	struct wide_value *flow;
	struct key key;

	if (!read_key(skb, &key))
		return TC_ACT_SHOT;
	wide.words[1] = (__u64)key.low << 32;
	wide.words[3] = (__u64)key.high << 32;
	wide.words[4] = (__u64)key.low_port << 32 | key.high_port << 16 | IPPROTO_TCP;
	flow = bpf_map_lookup_elem(&wide_flows, &wide);
	if (!flow) {
		struct wide_value fresh = { .ifindex = peer_ifindex };

		bpf_map_update_elem(&wide_flows, &wide, &fresh, BPF_ANY);
		return TC_ACT_SHOT;
	}
	flow->expires = bpf_jiffies64() + 100;
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, skb->len);
	return bpf_redirect_peer(flow->ifindex, 0);
}

SEC("tc")
int established_shards(struct __sk_buff *skb)
{
	struct wide_key wide = {};
	struct wide_value *flow;
	struct key key;
	__u64 mix;
	__u32 shard;
	void *table;

	if (!read_key(skb, &key))
		return TC_ACT_SHOT;
	wide.words[1] = (__u64)key.low << 32;
	wide.words[3] = (__u64)key.high << 32;
	wide.words[4] = (__u64)key.low_port << 32 | key.high_port << 16 | IPPROTO_TCP;
	mix = (wide.words[1] ^ wide.words[3] ^ wide.words[4] * 0x9e3779b97f4a7c15ull) * 0x9e3779b97f4a7c15ull;
	shard = shard_bits ? mix >> (64 - shard_bits) & 63 : 0;
	table = bpf_map_lookup_elem(&shards, &shard);
	if (!table)
		return TC_ACT_SHOT;
	flow = bpf_map_lookup_elem(table, &wide);
	if (!flow) {
		struct wide_value fresh = { .ifindex = peer_ifindex };

		bpf_map_update_elem(table, &wide, &fresh, BPF_ANY);
		return TC_ACT_SHOT;
	}
	flow->expires = bpf_jiffies64() + 100;
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, skb->len);
	return bpf_redirect_peer(flow->ifindex, 0);
}

/* The least that a first packet could cost: the same, and one new entry. */
SEC("tc")
int first(struct __sk_buff *skb)
{
	struct value fresh = { .ifindex = peer_ifindex };
	struct key key;

	if (!read_key(skb, &key) || bpf_map_lookup_elem(&flows, &key))
		return TC_ACT_SHOT;
	if (bpf_map_update_elem(&flows, &key, &fresh, BPF_NOEXIST))
		return TC_ACT_SHOT;
	return bpf_redirect_peer(peer_ifindex, 0);
}

/* Writes the next source port, or that of the answer, (offset of both families) and goes on to the program under test. */
SEC("tc")
int spread(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 zero = 0, number;
	__u64 *turns = bpf_map_lookup_elem(&turn, &zero);
	__be16 *port;

	if (!turns)
		return TC_ACT_SHOT;
	number = (*turns)++;
	if (each_new || flow_count > 1) {
		/* An odd factor goes through all of them, and jumps. */
		if (!each_new)
			number = (number * 40503u) & (flow_count - 1);
		port = data + ETH_HLEN + (skb->protocol == bpf_htons(ETH_P_IP) ? 20 : 40) + (back ? 2 : 0);
		if ((void *)(port + 1) > end)
			return TC_ACT_SHOT;
		*port = bpf_htons(number);
	}
	bpf_tail_call(skb, &target, 0);
	return TC_ACT_SHOT;
}
