// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The data plane: one program for each entrance, one path for both families. An established packet costs a parse, one
 * record and a redirect; everything else is judged by the compiled tables. What cannot be judged is dropped, with a reason.
 */
#include "age.h"
#include "icmp.h"
#include "neighbour.h"
#include "settled.h"

char gpl[] SEC("license") = "GPL";

/* Begins a packet's way: reads the word that a commit flips, once, and the time. */
static __always_inline bool begin(struct context *c, __u32 hook, bool node_socket)
{
	__u32 zero = 0;

	__builtin_memset(&c->verdict, 0, sizeof(c->verdict));
	c->verdict.direction = DIRECTION_NONE;
	c->node_socket = node_socket;
	c->hook = hook;
	c->now = bpf_jiffies64();
	c->word = bpf_map_lookup_elem(&live, &zero);
	if (!c->word)
		return false;
	c->generation = *(volatile const __u32 *)&c->word->generation;
	return true;
}

/* Destinations to which nothing is forwarded, whatever policy says. */
static __always_inline int check_destination(const struct packet *p, __u32 hook)
{
	bool broadcast = p->family == 4 && p->destination[1] == mapped4(0xffffffff);
	bool multicast = is_multicast(p);

	if (p->protocol == IPPROTO_UDP && p->fragment != FRAGMENT_LATER && (broadcast || multicast) &&
	    (p->destination_port == 67 || p->destination_port == 68 || p->destination_port == 546 || p->destination_port == 547))
		return REASON_DHCP;
	if (broadcast)
		return REASON_BROADCAST;
	if (multicast)
		return REASON_MULTICAST;
	if (is_gateway(p->destination) || (p->family == 6 && is_link_local6(p->destination)))
		return REASON_LINK_LOCAL;
	if (p->family == 6 && is_link_local6(p->source))
		return REASON_LINK_LOCAL;
	/* Redirects and neighbour discovery are of one link; pods have none to share. */
	if (p->protocol == IPPROTO_ICMP && p->icmp_type == ICMP_REDIRECT_MESSAGE)
		return REASON_REDIRECT;
	if (p->protocol == IPPROTO_ICMPV6 && p->icmp_type >= ICMP6_ROUTER_SOLICIT && p->icmp_type <= ICMP6_REDIRECT_MESSAGE && hook != HOOK_POD) {
		if (p->icmp_type == ICMP6_ROUTER_ADVERT)
			return REASON_ROUTER_ADVERTISEMENT;
		return p->icmp_type == ICMP6_REDIRECT_MESSAGE ? REASON_REDIRECT : REASON_SPOOFED_NEIGHBOUR;
	}
	return REASON_NONE;
}

/* A packet without a record that may be used: checked, judged, recorded, delivered. */
static __noinline int judge_packet(struct __sk_buff *skb, struct context *c)
{
	const struct live *word = c->word;
	const __u32 hook = c->hook;
	struct packet *p = &c->packet;
	const bool starts = !like_tcp(p->protocol) || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	struct end source, destination;
	int reason, action;

	reason = check_destination(p, hook);
	if (reason)
		return -reason;
	resolve_end(p->source, p->family, side_of(c), word, &source);
	reason = check_source(skb, c, hook, &source);
	if (reason)
		return -reason;
	resolve_end(p->destination, p->family, side_of(c), word, &destination);
	c->verdict.destination_endpoint = destination.endpoint;
	if (hook == HOOK_POD && p->protocol == IPPROTO_UDP && overlay_port && p->destination_port == overlay_port &&
	    destination.flags & (ADDRESS_FLAG_NODE | ADDRESS_FLAG_SELF))
		return -REASON_OVERLAY_PORT;
	/* Other nodes send only to pods and to the node itself through the tunnel. */
	if (hook == HOOK_OVERLAY && !(destination.flags & (ADDRESS_FLAG_LOCAL | ADDRESS_FLAG_SELF)))
		return destination.known ? -REASON_NO_ROUTE : -REASON_NO_ENDPOINT;
	if (destination.known && destination.hop_kind == HOP_KIND_NONE)
		return -REASON_NO_ENDPOINT;
	if (!source.endpoint && !destination.endpoint)
		/* Neither end is enforced here: no record. */
		return deliver(skb, hook, destination.hop_kind, destination.hop, 0);

	reason = judge(side_of(c), &c->verdict, policy_keys(p->protocol, p->source_port, p->destination_port), &source, &destination);
	if (reason == REASON_POLICY && !starts) {
		/* In the middle of a connection: perhaps the answer in one that was there before us. */
		if (!(word->flags & LIVE_FLAG_PICK_UP) || p->tcp_flags & TCP_RST || bpf_jiffies64() >= word->pick_up_until)
			return -REASON_NO_RECORD;
		struct verdict given = c->verdict;

		if (judge(side_of(c), &c->verdict, policy_keys(p->protocol, p->destination_port, p->source_port), &destination, &source)) {
			c->verdict = given;
			return -REASON_NO_RECORD;
		}
		if (destination.hop_kind == HOP_KIND_NONE)
			return -REASON_NO_ROUTE;
		reason = make_record(skb, c, &destination, &source, true);
		if (reason)
			return -reason;
		return deliver(skb, hook, destination.hop_kind, destination.hop, destination.endpoint);
	}
	if (reason)
		return -reason;
	if (destination.hop_kind == HOP_KIND_NONE)
		return -REASON_NO_ROUTE;
	/* What ends a connection that nobody knows begins none. */
	if (starts || !(p->tcp_flags & (TCP_RST | TCP_FIN))) {
		reason = make_record(skb, c, &source, &destination, false);
		if (reason)
			return -reason;
	}
	action = deliver(skb, hook, destination.hop_kind, destination.hop, destination.endpoint);
	return action;
}

/* Whether a packet without ACK asks for another connection than the record's. */
static __always_inline bool begins_anew(const struct packet *p, const struct flow *flow, bool forward)
{
	const __u32 closing = FLOW_FLAG_FIN_SOURCE | FLOW_FLAG_FIN_DESTINATION | FLOW_FLAG_RESET;

	if (!like_tcp(p->protocol) || (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return false;
	return !forward || flow->flags & closing;
}

/* The long way of an IP packet that has been parsed. Returns what the program returns, or a negative reason. */
static __always_inline int forward_packet(struct __sk_buff *skb, struct context *c, __u32 hook)
{
	struct flow *flow;
	bool forward;
	int reason, action;

	if (c->packet.fragment == FRAGMENT_LATER) {
		reason = recall_fragment(&c->packet, c->now);
		if (reason)
			return -reason;
	}
	if (is_icmp(c->packet.protocol) && is_error(&c->packet) && !c->node_socket) {
		action = follow_error(skb, c);
		if (action != 1)
			return action;
	}
	make_key(&c->packet, &c->key, &c->source_high);
	c->found = flow = bpf_map_lookup_elem(&flows, &c->key);
	if (!flow || is_past(flow->expires, c->now))
		return judge_packet(skb, c);

	__u64 judged = read_judged(flow);
	__u32 flags = judged >> 32;

	forward = c->source_high == !!(flags & FLOW_FLAG_SOURCE_IS_HIGH);
	if (begins_anew(&c->packet, flow, forward))
		return judge_packet(skb, c);
	reason = REASON_NONE;
	if ((__u32)judged != c->generation)
		reason = judge_again(skb, c, flow);
	else if (flags & FLOW_FLAG_DENIED)
		reason = REASON_POLICY;
	if (!arrives_right(skb, hook, c->node_socket, flow, flags, forward))
		return judge_packet(skb, c);
	if (reason) {
		c->verdict.source_outcome = flow->source_outcome;
		c->verdict.destination_outcome = flow->destination_outcome;
		c->verdict.source_endpoint = flow->source_endpoint;
		c->verdict.destination_endpoint = flow->destination_endpoint;
		c->verdict.direction = flow->source_outcome >> OUTCOME_ACTION_SHIFT == ACTION_ALLOW ? DIRECTION_INGRESS : DIRECTION_EGRESS;
		return -reason;
	}
	flags = advance(flow, &c->packet, forward);
	count_packet(skb, flow, forward, c->now + lifetime(c->word, c->packet.protocol, flow, flags));
	return send_on(skb, hook, flow, flags, forward);
}

/* Drops where `action` is a reason; remembers the ports of a first fragment that goes on. */
static __always_inline int finish(struct __sk_buff *skb, struct context *c, int action)
{
	if (action < 0)
		return drop(skb, &c->packet, &c->verdict, c->hook, -action);
	if (c->packet.fragment == FRAGMENT_FIRST && c->word)
		remember_fragment(&c->packet, c->now + c->word->timeouts[TIMEOUT_FRAGMENT]);
	return action;
}

static __always_inline __u32 endpoint_at(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	__u32 *number = bpf_map_lookup_elem(&endpoint_by_ifindex, &ifindex);

	return number ? *number : 0;
}

static __always_inline bool is_discovery(const struct packet *p)
{
	return p->protocol == IPPROTO_ICMPV6 && p->icmp_type >= ICMP6_ROUTER_SOLICIT && p->icmp_type <= ICMP6_REDIRECT_MESSAGE &&
	       p->fragment != FRAGMENT_LATER;
}

/* What a pod says to its own link: ARP and neighbour discovery. */
static __always_inline int answer_pod(struct __sk_buff *skb, struct context *c)
{
	__u32 number = endpoint_at(skb);

	c->verdict.source_endpoint = number;
	if (!number)
		return -REASON_NOT_READY;
	return skb->protocol == bpf_htons(ETH_P_ARP) ? answer_arp(skb, number, &c->packet) : answer_neighbour(skb, number, &c->packet);
}

/* The long way of every packet. Returns what the program returns. */
static __always_inline int long_way(struct __sk_buff *skb, __u32 hook, bool node_socket)
{
	struct context c;
	bool ready = begin(&c, hook, node_socket);
	int action = -parse(skb, &c.packet);

	if (!ready)
		action = -REASON_INTERNAL;
	else if (hook == HOOK_POD && skb->vlan_present)
		action = -REASON_ETHERTYPE;
	else if (hook == HOOK_POD && (skb->protocol == bpf_htons(ETH_P_ARP) || (action == 0 && is_discovery(&c.packet))))
		action = answer_pod(skb, &c);
	else if (action == 0)
		action = forward_packet(skb, &c, hook);
	/* Nothing leaves by heddle0 itself. */
	if (hook == HOOK_HOST && action == TC_ACT_OK)
		action = -REASON_NO_ROUTE;
	return finish(skb, &c, action);
}

/* Ingress of the host side of a pod's interface: all that a pod sends. */
SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	int action = skb->vlan_present ? LONG_WAY : pass_settled(skb, HOOK_POD);

	return action == LONG_WAY ? long_way(skb, HOOK_POD, false) : action;
}

/* Ingress of the tunnel device: what other nodes and their pods send. */
SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	int action = pass_settled(skb, HOOK_OVERLAY);

	return action == LONG_WAY ? long_way(skb, HOOK_OVERLAY, false) : action;
}

/* Whether an IP packet on the wire goes to one of this node's pods. Reads the fixed header only, bounded. */
static __always_inline bool is_for_pod(struct __sk_buff *skb)
{
	__u64 address[2];
	struct addr_value *value;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		__be32 destination;

		if (bpf_skb_load_bytes(skb, ETH_HLEN + 16, &destination, 4))
			return false;
		address[0] = 0;
		address[1] = mapped4(destination);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 24, address, 16))
			return false;
	} else {
		return false;
	}
	value = bpf_map_lookup_elem(&addrs, address);
	return value && value->flags & ADDRESS_FLAG_LOCAL;
}

/* Ingress of the uplink. What does not go to a pod of this node is the stack's. */
SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	int action = is_for_pod(skb) ? pass_settled(skb, HOOK_UPLINK) : TC_ACT_OK;

	return action == LONG_WAY ? long_way(skb, HOOK_UPLINK, false) : action;
}

/* Whether a socket of this node sent the packet: what is forwarded has lost its sender's. */
static __always_inline bool has_socket(struct __sk_buff *skb)
{
	struct bpf_sock *socket = skb->sk;

	/* AF_INET, AF_INET6, AF_PACKET. */
	return socket && (socket->family == 2 || socket->family == 10 || socket->family == 17);
}

/*
 * Egress of heddle0: what the node's sockets and its stack send to pods. Without the short way: with it the functions below
 * would together need more than the 512 bytes of stack that Linux 6.1 gives.
 */
SEC("tc")
int to_pods(struct __sk_buff *skb)
{
	return long_way(skb, HOOK_HOST, has_socket(skb));
}

/* Ingress of heddle1, the far end of heddle0: whatever arrives was handed over by no program. */
SEC("tc")
int drop_all(struct __sk_buff *skb)
{
	struct context c;

	begin(&c, HOOK_HOST, false);
	parse(skb, &c.packet);
	return drop(skb, &c.packet, &c.verdict, HOOK_HOST, REASON_NO_ROUTE);
}

/* Run by the agent, not attached: arms the ageing timer, or gives the one that runs these programs' code. */
SEC("tc")
int sweep_start(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct sweep *state = bpf_map_lookup_elem(&sweep, &zero);

	if (!state)
		return 1;
	state->jiffies = bpf_jiffies64();
	state->time = bpf_ktime_get_ns();
	bpf_timer_init(&state->timer, &sweep, 1 /* CLOCK_MONOTONIC */);
	if (bpf_timer_set_callback(&state->timer, sweep_part))
		return 2;
	return bpf_timer_start(&state->timer, SWEEP_INTERVAL_NS, 0) ? 3 : 0;
}
