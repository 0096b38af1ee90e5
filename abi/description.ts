/**
 * The one description of what C (bpf/) and TypeScript (src/kernel, src/plane, src/flow) share. `generate.ts` makes
 * `bpf/lib/abi.generated.h` and `src/kernel/abi.generated.ts` from it; nothing of it is written twice.
 *
 * Field types: `u8 u16 u32 u64 i32`, `be16 be32` (network order), `bytes N`, `u32[N]`, `bpf_timer`. Fields lie in the order given, with C's natural
 * alignment and no hidden padding: the generator refuses a struct that the compiler would pad, so padding is written out.
 */
export type FieldType =
  | "u8"
  | "u16"
  | "u32"
  | "u64"
  | "be16"
  | "be32"
  | "bpf_timer"
  | `bytes ${number}`
  | `u8[${number}]`
  | `u32[${number}]`
  | `u64[${number}]`

export interface Struct {
  readonly doc: string
  readonly fields: Readonly<Record<string, FieldType | readonly [type: FieldType, doc: string]>>
}

export interface Enum {
  readonly doc: string
  /** Name → [number, meaning]. Names are kebab-case in texts, UPPER_CASE in C, the key itself in TypeScript. */
  readonly values: Readonly<Record<string, readonly [number, string]>>
}

export interface MapSpec {
  readonly doc: string
  readonly type: "array" | "percpu-array" | "hash" | "lru-hash" | "lpm-trie" | "ringbuf" | "queue"
  readonly key: string
  readonly value: string
  /** Default number of entries (ringbuf: bytes); the agent may set another before load where `resizable`. */
  readonly entries: number
  readonly flags?: readonly ("mmapable" | "no-prealloc")[]
}

export const constants: Readonly<Record<string, readonly [number, string]>> = {
  MAX_SLOTS: [262_144, "slots of one side"],
  MAX_ENDPOINTS: [4_096, "local endpoints, numbers 1…4095"],
  MAX_CELLS: [2_097_152, "cells (policy set × class) of one side, packed four to a u64"],
  MAX_ROWS: [65_536, "rows of one side"],
  MAX_INTERVALS: [524_288, "intervals of one side, over all rows"],
  MAX_NODES: [16_384, "other nodes"],
  SWEEP_PARTS: [64, "the ageing timer looks at one of so many parts of the flow table at a tick"],
  MAX_PREFIX_LENGTHS: [24, "prefix lengths in use a family that are probed in the hash; more use the trie"],
  MAX_FRAGMENTS: [8_192, "datagrams in reassembly that are remembered"],
  MAX_REASONS: [64, "reasons: size of per-reason tables"],
  ROW_STEPS: [17, "steps of the binary search in a row: rows hold fewer than 2^17 intervals"],
  OUTCOME_ACTION_SHIFT: [30, "see src/compile/compiled.ts, Row"],
  OUTCOME_LOG: [1 << 29, "see src/compile/compiled.ts, Row"],
  OUTCOME_STAGED: [1 << 28, "see src/compile/compiled.ts, Row"],
  OUTCOME_ID_MASK: [0x0fff_ffff, "see src/compile/compiled.ts, Row"],
  VERDICT_NOT_ENFORCED: [0x0fff_fff1, "verdict id of an end that is not one of this node's endpoints"],
  TCX_INGRESS: [46, "BPF_TCX_INGRESS of include/uapi/linux/bpf.h; Debian 12's headers lack it"],
  TCX_EGRESS: [47, "BPF_TCX_EGRESS of include/uapi/linux/bpf.h"],
  GATEWAY_MAC_HIGH: [
    0x0268_6400,
    "first four bytes of the MAC address of every host-side pod interface and tunnel device",
  ],
  GATEWAY_MAC_LOW: [0x0001, "last two bytes of that address"],
  NODE_MAC_LOW: [0x0002, "last two bytes of the inner source address of what a node itself sends through the tunnel"],
  GATEWAY_ADDRESS4: [0xa9fe_0101, "169.254.1.1, the pods' IPv4 gateway; fe80::1 is the IPv6 one"],
  ANSWER_MARK: [
    0x6864_0001,
    "mark of a pod's answer to a host outside, which must leave with the address that was asked: nft does not track it",
  ],
  VNI: [1, "VXLAN network identifier of the overlay"],
  UDP_ANSWERED: [
    4,
    "packets of a UDP flow that went both ways, up to which it lasts no longer than without an answer: a name asked for in both families",
  ],
  DROP_BURST: [32, "drops of one endpoint and reason that are told one by one in a second"],
  SWEEP_INTERVAL_NS: [50_000_000, "the ageing timer ticks this often"],
  VXLAN_PORT: [4_789, "IANA port of VXLAN, default of the overlay"],
}

export const enums: Readonly<Record<string, Enum>> = {
  Reason: {
    doc: "Why a packet was dropped. Every drop has one; counters and events carry it.",
    values: {
      none: [0, "not dropped"],
      policy: [1, "a rule or a default deny decided"],
      unknownPeer: [2, "the far address is the cluster's but of nothing known, and labels could decide"],
      noRecord: [3, "a TCP packet without SYN belongs to no known connection"],
      flowTableFull: [4, "no room for another flow"],
      halfOpenLimit: [5, "the endpoint has too many half-open flows"],
      notReady: [6, "the endpoint's policy is not live yet"],
      spoofedSource: [7, "a pod sent from an address that is not its own"],
      spoofedArp: [8, "a pod's ARP claims an address that is not its own"],
      spoofedNeighbour: [9, "a pod's neighbour advertisement or solicitation claims an address that is not its own"],
      routerAdvertisement: [10, "a pod sent a router advertisement"],
      redirect: [11, "a pod sent an ICMP redirect"],
      overlayPort: [12, "a pod sent to a node's overlay port"],
      overlaySource: [13, "the outer source is not the node that owns the inner source"],
      wrongInterface: [14, "the packet arrived on an interface that is not the route back to its source"],
      fragmentEarly: [15, "a later fragment came before its first"],
      fragmentInvalid: [16, "a fragment too short to hold the transport header, or overlapping it"],
      malformed: [17, "a header is truncated or contradicts itself"],
      ethertype: [18, "neither IPv4, IPv6 nor ARP"],
      extensionHeader: [19, "IPv6 extension headers that are unknown, too many or forbidden"],
      dhcp: [20, "DHCP: pods get their addresses from CNI"],
      multicast: [21, "multicast is not forwarded"],
      broadcast: [22, "broadcast is not forwarded"],
      noRoute: [23, "no way to the destination is known"],
      linkLocal: [24, "link-local addresses are not forwarded"],
      hopLimit: [25, "TTL or hop limit used up"],
      noEndpoint: [26, "the destination is the node's but no endpoint has it"],
      encapsulation: [27, "the tunnel header could not be set or read"],
      internal: [28, "a map that must be there is not: the programs and maps do not fit each other"],
    },
  },
  EventKind: {
    doc: "What an event tells.",
    values: {
      flowStart: [1, "a record was made"],
      flowEnd: [2, "a record aged out or was closed; counters are final"],
      flowJudged: [3, "a record was judged again under a new generation"],
      drop: [4, "a packet was dropped; `count` such drops since the last event of this endpoint and reason"],
    },
  },
  Timeout: {
    doc: "Index into live.timeouts.",
    values: {
      tcpSyn: [0, "TCP and SCTP until the handshake is done; default 20 s"],
      tcpEstablished: [1, "TCP and SCTP after it; default 2 h"],
      tcpClosing: [2, "after FIN of both ends, RST, SHUTDOWN or ABORT; default 10 s"],
      udp: [3, "UDP and numbered protocols without a reply, and up to UDP_ANSWERED packets with one; default 30 s"],
      udpReplied: [4, "the same after a reply and more packets; default 120 s"],
      icmp: [5, "ICMP and ICMPv6; default 10 s"],
      fragment: [6, "a datagram in fragments; default 30 s"],
      second: [7, "ticks in a second"],
    },
  },
  FlowKind: {
    doc: "What the ports of a flow_key are, and for ICMP which end asks.",
    values: {
      ports: [0, "ports, or 0 for protocols without"],
      echoFromLow: [1, "echo identifier in both ports; the low end asks"],
      echoFromHigh: [2, "echo identifier in both ports; the high end asks"],
      icmpFromLow: [3, "type << 8 | code in both ports; sent by the low end, one way only"],
      icmpFromHigh: [4, "type << 8 | code in both ports; sent by the high end, one way only"],
    },
  },
  Hook: {
    doc: "Where a packet was seen.",
    values: {
      pod: [1, "host-side ingress of a pod's interface"],
      overlay: [2, "ingress of the tunnel device"],
      uplink: [3, "ingress of the node's uplink"],
      host: [4, "heddle0: what the node itself or its stack sends to pods"],
      timer: [5, "the ageing timer"],
    },
  },
}

/** Bits of `flow.flags`. */
export const flags: Readonly<Record<string, Readonly<Record<string, readonly [number, string]>>>> = {
  FlowFlag: {
    sourceIsHigh: [1 << 0, "the original source is the greater (address, port) of the sorted key"],
    judgesSource: [1 << 1, "the source end is this node's endpoint"],
    judgesDestination: [1 << 2, "the destination end is this node's endpoint"],
    replySeen: [1 << 3, "a packet came back"],
    finSource: [1 << 4, "the source sent FIN"],
    finDestination: [1 << 5, "the destination sent FIN"],
    reset: [1 << 6, "a RST was seen"],
    halfOpen: [1 << 7, "counted in the source endpoint's half_open"],
    nodeSource: [1 << 8, "the source is a socket of this node"],
    picked: [1 << 9, "made from a packet in the middle of the connection"],
    denied: [1 << 10, "judged again and denied: its packets drop until it ages out or another generation allows it"],
    established: [1 << 11, "the handshake is done, or a reply came where there is none"],
    byStack: [
      1 << 12,
      "the first packet came through the node's stack, whose conntrack may have translated it: its answers go there too",
    ],
  },
  AddressFlag: {
    local: [1 << 0, "owned by one of this node's endpoints"],
    node: [1 << 1, "a node's own address"],
    self: [1 << 2, "this node's own address"],
    unknown: [1 << 3, "inside the cluster's ranges but of nothing known (prefix entries only)"],
    four: [
      1 << 4,
      "an IPv4 block (prefix entries only): in the trie a short IPv6 block contains the mapped addresses too",
    ],
  },
  HopKind: {
    none: [0, "no way known"],
    local: [1, "redirect to the interface `hop`"],
    overlay: [2, "tunnel to node number `hop`"],
    stack: [3, "the node's own stack goes on; `hop` 1: the node itself, 0: beyond it"],
    native: [4, "uplink, next hop node number `hop`"],
  },
  LiveFlag: {
    pickUp: [
      1 << 0,
      "until `pick_up_until`, a denied mid-connection packet may be the reply of the opposite connection",
    ],
  },
}

export const structs: Readonly<Record<string, Struct>> = {
  live: {
    doc: "The word that a commit flips, and what must change with it. Written by the agent through mapped memory.",
    fields: {
      generation: ["u32", "the generation in force; its lowest bit is the side"],
      flags: ["u32", "LiveFlag"],
      pick_up_until: ["u64", "jiffies64 until which LiveFlag.pickUp holds"],
      outside4: ["u32[2]", "slot of an IPv4 address in no table, by side"],
      outside6: ["u32[2]", "slot of an IPv6 address in no table, by side"],
      node4: ["u32[2]", "slot of this node's own sockets that send IPv4, by side"],
      node6: ["u32[2]", "slot of this node's own sockets that send IPv6, by side"],
      timeouts: ["u32[8]", "in ticks (jiffies), by Timeout"],
      half_open_limit: ["u32", "half-open flows one endpoint may have"],
      padding: "u32",
    },
  },
  addr_key: {
    doc: "An exact address; IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).",
    fields: { address: "bytes 16" },
  },
  addr_value: {
    doc: "What belongs to an exact address. Not per generation.",
    fields: {
      slot: "u32",
      flags: ["u32", "AddressFlag"],
      endpoint: ["u32", "local endpoint's number, or 0"],
      node: ["u32", "number of the node where it is; 0: here"],
    },
  },
  prefix_key: {
    doc: "A block: length counts from the start of the 16 bytes (IPv4: 96 + its own). Layout of struct bpf_lpm_trie_key, length in host order.",
    fields: { length: "u32", address: "bytes 16" },
  },
  prefix_value: { doc: "What belongs to a block.", fields: { slot: "u32", flags: ["u32", "AddressFlag"] } },
  prefix_lengths: {
    doc: "Prefix lengths in use, longest first, counted as in prefix_key. Index: side * 2, + 1 for IPv6.",
    fields: {
      count: "u32",
      trie: ["u32", "1: more lengths than fit, prefix_trie holds the blocks"],
      lengths: "u8[24]",
    },
  },
  endpoint: {
    doc: "A local endpoint by number.",
    fields: {
      ifindex: ["u32", "host-side interface; 0: none, drop"],
      mac: ["bytes 6", "MAC address of the pod's own interface"],
      padding: "u16",
    },
  },
  set_entry: {
    doc: "What an endpoint enforces in one direction. Index: side * 2 * MAX_ENDPOINTS + endpoint * 2 + direction (0 ingress, 1 egress).",
    fields: {
      base: ["u32", "index of the set's first cell, within its side"],
      count: ["u32", "cells: one more than the highest class that the set answers; 0: not live yet, drop"],
    },
  },
  row: {
    doc: "A row: a run of intervals. Index: side * MAX_ROWS + row.",
    fields: { offset: ["u32", "first interval, within its side"], count: ["u32", "0: drop"] },
  },
  interval: {
    doc: "See src/compile/compiled.ts, Row. Index: side * MAX_INTERVALS + offset + i.",
    fields: { start: "u32", outcome: "u32" },
  },
  node: {
    doc: "Another node by number.",
    fields: {
      address: ["bytes 16", "outer address, or next hop; IPv4 mapped"],
      valid: "u32",
      family: ["u32", "4 or 6"],
    },
  },
  flow_key: {
    doc: "Both ends of a flow, the lower (address, port) first, so that both directions have one key. Addresses compare as two u64 of the machine's own byte order.",
    fields: {
      low: "bytes 16",
      high: "bytes 16",
      low_port: ["u16", "host order"],
      high_port: ["u16", "host order"],
      protocol: "u8",
      kind: ["u8", "FlowKind"],
      padding: "u8[2]",
    },
  },
  flow: {
    doc: "The one record of a flow. `source` is the original source. Counter index 0: source to destination, 1: back.",
    fields: {
      generation: [
        "u32",
        "under which the verdicts stand; one aligned word with flags, so that a verdict and its generation change together",
      ],
      flags: ["u32", "FlowFlag; changed atomically"],
      expires: ["u32", "low 32 bits of jiffies64"],
      source_hop: ["u32", "way to the source: interface or node number"],
      destination_hop: ["u32", "way to the destination"],
      source_hop_kind: ["u8", "HopKind"],
      destination_hop_kind: ["u8", "HopKind"],
      icmp_type: ["u8", "of the first packet, for judging it again"],
      icmp_code: "u8",
      source_outcome: [
        "u32",
        "outcome of the source's egress (packed as Row.outcomes), or VERDICT_NOT_ENFORCED with allow",
      ],
      destination_outcome: ["u32", "outcome of the destination's ingress"],
      packets: ["u64[2]", "counted atomically; segments, where the kernel handles many as one"],
      bytes: ["u64[2]", "IP bytes, counted atomically"],
      created: ["u64", "CLOCK_MONOTONIC in ns, coarse"],
      source_endpoint: ["u16", "local endpoint's number or 0"],
      destination_endpoint: ["u16", "local endpoint's number or 0"],
      padding: "u32",
    },
  },
  fragment_key: {
    doc: "A datagram in fragments.",
    fields: { source: "bytes 16", destination: "bytes 16", id: "u32", protocol: "u8", padding: "u8[3]" },
  },
  fragment_value: {
    doc: "What its later fragments lack.",
    fields: { source_port: "u16", destination_port: "u16", expires: "u32" },
  },
  event: {
    doc: "One event in the ring.",
    fields: {
      time: ["u64", "CLOCK_MONOTONIC in ns, coarse"],
      packets: ["u64[2]", "flowEnd: as in flow; drop: [count, 0]"],
      bytes: "u64[2]",
      source: ["bytes 16", "original source of the flow, or of the packet"],
      destination: "bytes 16",
      generation: "u32",
      source_outcome: "u32",
      destination_outcome: "u32",
      ifindex: ["u32", "where the packet arrived"],
      flow_flags: "u32",
      source_port: ["u16", "host order; ICMP echo: the identifier"],
      destination_port: ["u16", "host order; ICMP: type << 8 | code"],
      source_endpoint: "u16",
      destination_endpoint: "u16",
      kind: ["u8", "EventKind"],
      reason: ["u8", "Reason"],
      hook: ["u8", "Hook"],
      protocol: "u8",
      tcp_flags: ["u8", "of the packet, low eight bits"],
      direction: ["u8", "drop by policy: 0 the destination's ingress decided, 1 the source's egress; else 2"],
      padding: "u16",
      padding2: "u32",
    },
  },
  drop_limit: {
    doc: "Drops of one (endpoint, reason) in the second that began at `since`. Index: endpoint * MAX_REASONS + reason.",
    fields: {
      since: ["u32", "jiffies"],
      count: ["u32", "drops since then; those over DROP_BURST are told as a number with the next"],
    },
  },
  drop_counter: { doc: "Drops of one reason on one CPU.", fields: { packets: "u64", bytes: "u64" } },
  lost: { doc: "Events lost because the ring was full, on one CPU, by EventKind.", fields: { events: "u64" } },
  sweep: {
    doc: "State of the ageing timer. The bpf_timer lies first and is opaque.",
    fields: {
      timer: "bpf_timer",
      records: ["u32", "records in the flow table; counted atomically"],
      ticks: ["u32", "done so far; a round is SWEEP_PARTS of them"],
      part: ["u32", "records to be looked at at each tick of this round"],
      padding: "u32",
      jiffies: ["u64", "jiffies64 at the last tick"],
      time: ["u64", "CLOCK_MONOTONIC in ns at the last tick"],
    },
  },
}

export const maps: Readonly<Record<string, MapSpec>> = {
  live: { doc: "See struct live.", type: "array", key: "u32", value: "live", entries: 1, flags: ["mmapable"] },
  addrs: {
    doc: "Exact addresses. Written by the agent.",
    type: "hash",
    key: "addr_key",
    value: "addr_value",
    entries: 131_072,
    flags: ["no-prealloc"],
  },
  prefixes: {
    doc: "Blocks by length. Written by the agent.",
    type: "hash",
    key: "prefix_key",
    value: "prefix_value",
    entries: 131_072,
    flags: ["no-prealloc"],
  },
  prefix_trie: {
    doc: "The same blocks, when too many lengths are in use.",
    type: "lpm-trie",
    key: "prefix_key",
    value: "prefix_value",
    entries: 131_072,
    flags: ["no-prealloc"],
  },
  prefix_lengths: { doc: "See struct prefix_lengths.", type: "array", key: "u32", value: "prefix_lengths", entries: 4 },
  endpoints: { doc: "Local endpoints by number.", type: "array", key: "u32", value: "endpoint", entries: 4_096 },
  half_open: {
    doc: "Half-open flows by endpoint number. Counted atomically by the programs.",
    type: "array",
    key: "u32",
    value: "u32",
    entries: 4_096,
  },
  endpoint_by_ifindex: {
    doc: "Host-side interface → endpoint number.",
    type: "hash",
    key: "u32",
    value: "u32",
    entries: 4_096,
    flags: ["no-prealloc"],
  },
  classes: {
    doc: "slot → class, four to a u64, both sides: (side * MAX_SLOTS + slot) / 4.",
    type: "array",
    key: "u32",
    value: "u64",
    entries: (2 * 262_144) / 4,
    flags: ["mmapable"],
  },
  sets: {
    doc: "See struct set_entry.",
    type: "array",
    key: "u32",
    value: "set_entry",
    entries: 2 * 2 * 4_096,
    flags: ["mmapable"],
  },
  cells: {
    doc: "base + class → row, four u16 to a u64: (side * MAX_CELLS + base + class) / 4.",
    type: "array",
    key: "u32",
    value: "u64",
    entries: (2 * 2_097_152) / 4,
    flags: ["mmapable"],
  },
  rows: { doc: "See struct row.", type: "array", key: "u32", value: "row", entries: 2 * 65_536, flags: ["mmapable"] },
  intervals: {
    doc: "See struct interval.",
    type: "array",
    key: "u32",
    value: "interval",
    entries: 2 * 524_288,
    flags: ["mmapable"],
  },
  nodes: { doc: "Other nodes by number.", type: "array", key: "u32", value: "node", entries: 16_384 },
  flows: {
    doc: "The flow table. Records are made and deleted by the programs alone.",
    type: "hash",
    key: "flow_key",
    value: "flow",
    entries: 131_072,
  },
  flow_keys: {
    doc: "The key of each record once, in the order in which the ageing timer comes by. As many entries as `flows`.",
    type: "queue",
    key: "none",
    value: "flow_key",
    entries: 131_072,
  },
  fragments: {
    doc: "Datagrams in fragments; not flows, so it may evict.",
    type: "lru-hash",
    key: "fragment_key",
    value: "fragment_value",
    entries: 8_192,
  },
  events: { doc: "The one ring buffer.", type: "ringbuf", key: "none", value: "event", entries: 4_194_304 },
  drops: { doc: "Drops by reason.", type: "percpu-array", key: "u32", value: "drop_counter", entries: 64 },
  drop_limits: { doc: "See struct drop_limit.", type: "array", key: "u32", value: "drop_limit", entries: 4_096 * 64 },
  lost: { doc: "See struct lost.", type: "percpu-array", key: "u32", value: "lost", entries: 8 },
  sweep: { doc: "See struct sweep.", type: "array", key: "u32", value: "sweep", entries: 1 },
}
