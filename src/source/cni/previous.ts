import { tryParseAddress } from "../../net/address.ts"
import type { Address } from "../../net/types.ts"
import { CniCode, CniError } from "./error.ts"
import type { AttachmentRef } from "./pod-network.ts"

/**
 * Addresses that a result gives to the pod's interface `ifname` (an interface in a sandbox). An entry of `ips` without
 * `interface` belongs to it as well: the spec makes the index optional.
 */
export function interfaceAddresses(result: Readonly<Record<string, unknown>>, ifname: string): readonly Address[] {
  const interfaces = list(result["interfaces"], "prevResult.interfaces")
  const index = interfaces.findIndex(
    (entry) => field(entry, "name") === ifname && field(entry, "sandbox") !== undefined,
  )
  if (index < 0)
    throw new CniError(
      CniCode.invalidConfiguration,
      `Cannot check: prevResult has no interface ${ifname} in a sandbox`,
      "prevResult must be what ADD answered",
    )
  const addresses: Address[] = []
  for (const entry of list(result["ips"], "prevResult.ips")) {
    const at = field(entry, "interface")
    if (at !== undefined && at !== null && at !== index) continue
    const text = field(entry, "address")
    const address = typeof text === "string" ? tryParseAddress(text.replace(/\/\d+$/, "")) : undefined
    if (address === undefined)
      throw new CniError(
        CniCode.invalidConfiguration,
        `Cannot check: prevResult.ips holds ${JSON.stringify(text)}, which is no address`,
        "prevResult must be what ADD answered",
      )
    addresses.push(address)
  }
  return addresses
}

/** Next hops of the default routes in a result. */
export function defaultGateways(result: Readonly<Record<string, unknown>>): readonly Address[] {
  return list(result["routes"], "prevResult.routes").flatMap((route) => {
    const [destination, gateway] = [field(route, "dst"), field(route, "gw")]
    if (destination !== "0.0.0.0/0" && destination !== "::/0") return []
    return typeof gateway === "string" ? (tryParseAddress(gateway) ?? []) : []
  })
}

/**
 * The attachments that GC keeps. A list that is not there would read as "delete everything", so it is refused (the spec
 * makes the key mandatory for GC).
 */
export function attachmentsOf(value: unknown): readonly AttachmentRef[] {
  if (!Array.isArray(value))
    throw new CniError(
      CniCode.invalidConfiguration,
      'Cannot collect garbage: the configuration has no list "cni.dev/valid-attachments"',
      "An empty list means that nothing is attached; a missing one means nothing",
    )
  return value.map((entry: unknown) => {
    const container = field(entry, "containerID")
    const ifname = field(entry, "ifname")
    if (typeof container === "string" && typeof ifname === "string") return { container, ifname }
    throw new CniError(
      CniCode.invalidConfiguration,
      `Cannot collect garbage: ${JSON.stringify(entry)} in cni.dev/valid-attachments is no attachment`,
      'Wanted {"containerID": …, "ifname": …}',
    )
  })
}

function list(value: unknown, what: string): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  throw new CniError(CniCode.invalidConfiguration, `Cannot check: ${what} is not a list`)
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined
}
