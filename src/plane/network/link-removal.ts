import type { NamespaceHandle } from "../../kernel/namespace.ts"
import { deleteLink, deleteLinkGroup, groupLink } from "../../kernel/netlink/requests.ts"
import type { Request } from "../../kernel/netlink/socket.ts"
import { type Asking, KernelSteps } from "../../kernel/netlink/steps.ts"

/** Interface group of what is about to be deleted: "hedd". Nothing else carries it for longer than a call. */
const DOOMED = 0x68656464
const ENODEV = 19
/** Acknowledgements that surely fit into a socket's buffer. */
const TOGETHER = 64

/**
 * Deletes links for good, on a worker thread: each deletion ends with a wait of some 20 ms for what RCU still has to free. Those
 * that are asked for while one is under way share the next wait, because the kernel deletes a whole interface group at once.
 */
export class LinkRemoval {
  readonly #namespace: NamespaceHandle
  readonly #steps: Pick<KernelSteps, "take">
  #links = new Set<string | number>()
  #next: Promise<void> | undefined
  #running: Promise<unknown> = Promise.resolve()

  /** `steps`: a worker of its own, so that nobody else stands in line behind a wait. */
  constructor(namespace: NamespaceHandle, steps: Pick<KernelSteps, "take"> = new KernelSteps()) {
    this.#namespace = namespace
    this.#steps = steps
  }

  /** Resolves when the link of this name is gone, or was never there. */
  delete(name: string): Promise<void> {
    return this.deleteAll([name])
  }

  /** Resolves when none of these links, by name or index, is there. */
  deleteAll(links: Iterable<string | number>): Promise<void> {
    for (const link of links) this.#links.add(link)
    if (this.#links.size === 0) return Promise.resolve()
    this.#next ??= this.#running.then(() => {
      const all = [...this.#links]
      this.#links = new Set()
      this.#next = undefined
      const run = this.#steps.take(this.#deletion(all)).then(() => undefined)
      this.#running = run.catch(() => undefined)
      return run
    })
    return this.#next
  }

  #deletion(links: readonly (string | number)[]): readonly Asking[] {
    const [only] = links
    if (only !== undefined && links.length === 1) return [this.#ask([deleteLink(only)])]
    const rows: Asking[] = []
    for (let i = 0; i < links.length; i += TOGETHER)
      rows.push(this.#ask(links.slice(i, i + TOGETHER).map((link) => groupLink(link, DOOMED))))
    return [...rows, this.#ask([deleteLinkGroup(DOOMED)])]
  }

  #ask(requests: readonly Request[]): Asking {
    return { namespace: this.#namespace, requests, tolerate: ENODEV }
  }
}
