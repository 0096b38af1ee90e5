import { isKernelError } from "../../kernel/error.ts"
import { LinkMessage, linkHeader } from "../../kernel/netlink/link.ts"
import { attribute, concat, u32 } from "../../kernel/netlink/message.ts"
import type { Netlink } from "../../kernel/netlink/netlink.ts"

/** IFLA_GROUP of include/uapi/linux/if_link.h. */
const IFLA_GROUP = 27
/** Interface group of what is about to be deleted: "hedd". Nothing else carries it for longer than a call. */
const DOOMED = 0x68656464

/** So long a deletion waits for others, in milliseconds: little beside what it costs. */
const GATHER_MS = 2

/**
 * Deletes links for good. Each deletion waits some 20 ms for RCU under the network lock; those that come together share one
 * wait, because the kernel deletes a whole interface group at once (net/core/rtnetlink.c, rtnl_group_dellink).
 */
export class LinkRemoval {
  readonly #netlink: Netlink
  #names = new Set<string>()
  #turn: Promise<void> | undefined

  constructor(netlink: Netlink) {
    this.#netlink = netlink
  }

  /** Resolves when the link of this name is gone, or was never there. */
  async delete(name: string): Promise<void> {
    this.#names.add(name)
    this.#turn ??= new Promise((resolve, reject) => {
      setTimeout(() => {
        const names = this.#names
        this.#names = new Set()
        this.#turn = undefined
        try {
          this.deleteAll(names)
          resolve()
        } catch (error) {
          reject(error)
        }
      }, GATHER_MS)
    })
    await this.#turn
  }

  deleteAll(names: Iterable<string>): void {
    const links = [...names].flatMap((name) => this.#netlink.link(name) ?? [])
    const [only] = links
    if (only === undefined) return
    if (links.length === 1) {
      this.#netlink.deleteLink(only.index)
      return
    }
    for (const link of links) this.#doom(link.index)
    const payload = concat(linkHeader(), attribute(IFLA_GROUP, u32(DOOMED)))
    const operation = `delete ${links.length} links`
    this.#unlessGone({ operation, type: LinkMessage.delete, payload })
  }

  #doom(index: number): void {
    const payload = concat(linkHeader(index), attribute(IFLA_GROUP, u32(DOOMED)))
    this.#unlessGone({ operation: `change the group of link ${index}`, type: LinkMessage.new, payload })
  }

  #unlessGone(request: Parameters<Netlink["socket"]["change"]>[0]): void {
    try {
      this.#netlink.socket.change(request)
    } catch (error) {
      if (!isKernelError(error, "ENODEV")) throw error
    }
  }
}
