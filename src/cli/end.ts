import { Failure } from "../api/failure.ts"
import { tryParseAddress } from "../net/address.ts"
import { protocolNumber } from "./output/text.ts"

/** An end as `heddle why` takes it: `NAMESPACE/POD`, `POD`, `node/NAME`, `pod/NAMESPACE/POD`, or an address. */
export function parseEnd(text: string): { namespace: string; pod: string; node: string; address: string } {
  const none = { namespace: "", pod: "", node: "", address: "" }
  const address = tryParseAddress(text)
  if (address !== undefined) return { ...none, address }
  const parts = text.split("/")
  if (parts.some((part) => part === "") || parts.length > 3) throw badEnd(text)
  const [first = "", second = "", third] = parts
  if (third !== undefined) {
    if (first !== "pod") throw badEnd(text)
    return { ...none, namespace: second, pod: third }
  }
  if (parts.length === 1) return { ...none, pod: first }
  return first === "node" ? { ...none, node: second } : { ...none, namespace: first, pod: second }
}

function badEnd(text: string): Failure {
  return new Failure(
    "usage",
    `Cannot tell who "${text}" is`,
    "wanted NAMESPACE/POD, node/NAME or an address",
    "heddle why shop/web-0 shop/db-0 --port 5432/TCP",
  )
}

/** `80`, `80/TCP`, `http/TCP`, `ICMP`: port number or name, and protocol (TCP when none is given). */
export function parsePort(text: string): { protocol: number; port: number; portName: string } {
  const slash = text.indexOf("/")
  const [port, protocolText] = slash < 0 ? [text, undefined] : [text.slice(0, slash), text.slice(slash + 1)]
  if (protocolText === undefined) {
    const alone = /^\d+$/.test(port) ? undefined : protocolNumber(port)
    if (alone !== undefined) return { protocol: alone, port: 0, portName: "" }
  }
  const protocol = protocolText === undefined ? 6 : protocolNumber(protocolText)
  const usage = (why: string): Failure =>
    new Failure("usage", `Cannot use --port ${text}`, why, "--port 80/TCP, --port dns/UDP, --port ICMP")
  if (protocol === undefined) throw usage(`${protocolText} is no protocol`)
  if (/^\d+$/.test(port)) {
    if (Number(port) > 65_535) throw usage("a port is at most 65535")
    return { protocol, port: Number(port), portName: "" }
  }
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(port))
    throw usage(`${JSON.stringify(port)} is neither a port's number nor a name`)
  return { protocol, port: 0, portName: port }
}
