/* Programs for the tests of src/kernel: one of each kind of map, a ring, constants, and answers that tell what was seen. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

char gpl[] SEC("license") = "GPL";

const volatile __u32 answer = 1;
const volatile __u8 mac[6] = {};

struct pair {
	__u32 a, b;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pair);
} shared SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct trie_key {
	__u32 length;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct trie_key);
	__type(value, __u32);
} trie SEC(".maps");

struct shard {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 8);
	__type(key, __u32);
	__array(values, struct shard);
} shards SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

/* Returns the constant; counts by CPU; copies shared[0].a to shared[1].a. */
SEC("tc")
int tell(struct __sk_buff *skb)
{
	__u32 zero = 0, one = 1;
	__u64 *count = bpf_map_lookup_elem(&counters, &zero);
	struct pair *from = bpf_map_lookup_elem(&shared, &zero), *to = bpf_map_lookup_elem(&shared, &one);

	if (count)
		(*count)++;
	if (from && to)
		to->a = from->a + mac[5];
	return answer;
}

SEC("tc")
int drop(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

SEC("tc")
int pass(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

/* Answers with the context and writes the mark into the first four bytes of the frame. */
SEC("tc")
int context(struct __sk_buff *skb)
{
	__u32 mark = skb->mark;

	bpf_skb_store_bytes(skb, 0, &mark, sizeof(mark), 0);
	return skb->ifindex * 1000 + skb->ingress_ifindex;
}

/* Puts two records into the ring: the packet's length, then a longer one; between them one that is discarded. */
SEC("tc")
int record(struct __sk_buff *skb)
{
	__u32 *length = bpf_ringbuf_reserve(&ring, 4, 0);
	__u64 *gone, *longer;

	if (!length)
		return TC_ACT_SHOT;
	*length = skb->len;
	bpf_ringbuf_submit(length, 0);
	gone = bpf_ringbuf_reserve(&ring, 8, 0);
	if (!gone)
		return TC_ACT_SHOT;
	bpf_ringbuf_discard(gone, 0);
	longer = bpf_ringbuf_reserve(&ring, 20, 0);
	if (!longer)
		return TC_ACT_SHOT;
	longer[0] = 7;
	longer[1] = skb->mark;
	bpf_ringbuf_submit(longer, 0);
	return TC_ACT_OK;
}

static long add_up(void *map, const void *key, void *value, void *sum)
{
	*(__u64 *)sum += *(__u64 *)value;
	return 0;
}

/* Sums an inner map's values: for_each needs the inner map's BTF on Linux 6.1. */
SEC("tc")
int sum(struct __sk_buff *skb)
{
	__u32 index = skb->mark;
	void *inner = bpf_map_lookup_elem(&shards, &index);
	__u64 total = 0;

	if (!inner)
		return -1;
	bpf_for_each_map_elem(inner, add_up, &total, 0);
	return total;
}
