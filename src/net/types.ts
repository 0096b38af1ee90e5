/**
 * Values of the IP layer. Addresses and prefixes are canonical text, branded so that unparsed input cannot be mistaken
 * for them: they compare with `===`, serve as Map keys and print as themselves. `address.ts` and `prefix.ts` make them.
 */

/** An IPv4 or IPv6 address in canonical text (RFC 5952 for IPv6), e.g. `10.0.0.1`, `fd00::1`. Never IPv4-mapped. */
export type Address = string & { readonly __brand: "Address" }

/** A CIDR block in canonical text with host bits zero, e.g. `10.0.0.0/8`, `fd00::/64`. */
export type Prefix = string & { readonly __brand: "Prefix" }

export type Family = 4 | 6

/** IANA protocol number, 0–255. */
export type ProtocolNumber = number

export const Protocol = {
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  ICMPv6: 58,
  SCTP: 132,
} as const satisfies Record<string, ProtocolNumber>

/** An inclusive range of ports, 0–65535, `first <= last`. */
export interface PortRange {
  readonly first: number
  readonly last: number
}
