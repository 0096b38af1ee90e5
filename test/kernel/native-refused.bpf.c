/* A program that no verifier takes: it reads behind the packet's end. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char gpl[] SEC("license") = "GPL";

SEC("tc")
int careless(struct __sk_buff *skb)
{
	return *(__u8 *)(long)skb->data;
}
