import { getSysctl } from "../../kernel/sysctl.ts"
import { applySettings, linkSetting, type NodeNamespace, type Settings } from "./node-namespace.ts"
import { isRecord, readState, writeState } from "./state-file.ts"

/** Changes the node's sysctls and remembers on disk what they were, so that `restore` can put them back. */
export class NodeSettings {
  readonly #node: NodeNamespace
  readonly #file: string
  #before: Readonly<Record<string, string | number>>

  constructor(node: NodeNamespace, file: string) {
    this.#node = node
    this.#file = file
    const state = readState(file)
    const entries = isRecord(state) ? Object.entries(state).filter(([, value]) => typeof value === "string") : []
    this.#before = Object.fromEntries(entries) as Record<string, string>
  }

  apply(settings: Settings): void {
    const before = this.#node.set(settings)
    if (Object.keys(before).length === 0) return
    this.#before = { ...before, ...this.#before }
    writeState(this.#file, this.#before)
  }

  /**
   * What must be so before forwarding is switched on and `all.rp_filter` off: an uplink that learns its routes from router
   * advertisements goes on doing so (2: even when forwarding), and every other link keeps the strictness that `all` gave it.
   */
  preserve(uplink: string): void {
    const { netlink } = this.#node
    const kept: Record<string, string | number> = {}
    this.#node.inside(() => {
      if (
        getSysctl("net.ipv6.conf.all.forwarding") === "0" &&
        getSysctl(linkSetting("ipv6", uplink, "accept_ra")) === "1"
      )
        kept[linkSetting("ipv6", uplink, "accept_ra")] = 2
      const all = Number(getSysctl("net.ipv4.conf.all.rp_filter") ?? 0)
      if (all === 0) return
      // Other names no tool can write a setting of.
      for (const link of netlink.links().flatMap(({ name }) => (/^[\w.@-]+$/.test(name) ? name : []))) {
        const own = Number(getSysctl(linkSetting("ipv4", link, "rp_filter")) ?? 0)
        if (own < all) kept[linkSetting("ipv4", link, "rp_filter")] = all
      }
    })
    this.apply(kept)
  }

  restore(): void {
    this.#node.inside(() => applySettings(this.#before))
    this.#before = {}
    writeState(this.#file, {})
  }
}
