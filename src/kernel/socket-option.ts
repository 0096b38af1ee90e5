/** Options by name: level and number of setsockopt(2); ip(7), ipv6(7), socket(7), packet(7), icmp(7), tcp(7). */
const options = {
  reuseAddress: [1, 2],
  reusePort: [1, 15],
  broadcast: [1, 6],
  keepAlive: [1, 9],
  priority: [1, 12],
  sendBuffer: [1, 7],
  receiveBuffer: [1, 8],
  receiveBufferForce: [1, 33],
  /** struct linger; a number is the seconds, 0 resets at close. */
  linger: [1, 13],
  /** Interface name. */
  bindToDevice: [1, 25],
  mark: [1, 36],
  tos: [0, 1],
  ttl: [0, 2],
  headerIncluded: [0, 3],
  mtuDiscover: [0, 10],
  freebind: [0, 15],
  transparent: [0, 19],
  bindAddressNoPort: [0, 24],
  ipv6Checksum: [41, 7],
  hopLimit: [41, 16],
  multicastHops: [41, 18],
  mtuDiscover6: [41, 23],
  v6only: [41, 26],
  headerIncluded6: [41, 36],
  trafficClass: [41, 67],
  transparent6: [41, 75],
  freebind6: [41, 78],
  /** Bit n set: ICMP type n is not delivered. */
  icmpFilter: [255, 1],
  /** 256 bits: bit n set: ICMPv6 type n is not delivered. */
  icmp6Filter: [58, 1],
  noDelay: [6, 1],
  synRetries: [6, 7],
  userTimeout: [6, 18],
  ignoreOutgoing: [263, 23],
} as const

export type SocketOption = keyof typeof options

/** What setsockopt(2) takes. Booleans and numbers are a C int, but for `linger`. */
export function encodeOption(
  option: SocketOption,
  value: number | boolean | string | Uint8Array,
): { level: number; name: number; bytes: Uint8Array } {
  const [level, name] = options[option]
  return { level, name, bytes: encodeValue(option, value) }
}

function encodeValue(option: SocketOption, value: number | boolean | string | Uint8Array): Uint8Array {
  if (typeof value === "string") return new TextEncoder().encode(`${value}\0`)
  if (value instanceof Uint8Array) return value
  if (option === "linger") return new Uint8Array(Int32Array.of(1, Number(value)).buffer)
  return new Uint8Array(Int32Array.of(Number(value)).buffer)
}
