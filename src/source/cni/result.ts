import { familyOf } from "../../net/address.ts"
import type { Attached } from "./pod-network.ts"
import type { Configuration } from "./request.ts"

/**
 * The result of ADD in the form of the configuration's version: 0.4.0 has `version` in each entry of `ips`, 1.1.0 has
 * `mtu` in each interface. In a chain it is the previous plugin's result with ours appended (spec, section 5).
 */
export function addResult(configuration: Configuration, made: Attached): string {
  const { cniVersion, prevResult } = configuration
  const mtu = cniVersion === "1.1.0" ? { mtu: made.mtu } : {}
  const interfaces = before(prevResult, "interfaces")
  const podIndex = interfaces.length + 1
  const result: Record<string, unknown> = {
    ...prevResult,
    cniVersion,
    interfaces: [
      ...interfaces,
      { name: made.hostInterface.name, mac: made.hostInterface.mac, ...mtu },
      { name: made.podInterface.name, mac: made.podInterface.mac, ...mtu, sandbox: made.podInterface.netns },
    ],
    ips: [
      ...before(prevResult, "ips"),
      ...made.addresses.map((address) => {
        const family = familyOf(address)
        const gateway = made.gateways.find((candidate) => familyOf(candidate) === family)
        return {
          ...(cniVersion === "0.4.0" ? { version: String(family) } : {}),
          address: `${address}/${family === 4 ? 32 : 128}`,
          ...(gateway === undefined ? {} : { gateway }),
          interface: podIndex,
        }
      }),
    ],
    routes: [
      ...before(prevResult, "routes"),
      ...made.gateways.map((gw) => ({ dst: familyOf(gw) === 4 ? "0.0.0.0/0" : "::/0", gw })),
    ],
    dns: configuration.dns ?? prevResult?.["dns"] ?? {},
  }
  return `${JSON.stringify(result)}\n`
}

function before(result: Readonly<Record<string, unknown>> | undefined, key: string): readonly unknown[] {
  const value = result?.[key]
  return Array.isArray(value) ? value : []
}
