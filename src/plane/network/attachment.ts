import { createHash } from "node:crypto"
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { tryParseAddress } from "../../net/address.ts"
import type { Address } from "../../net/types.ts"
import { beginState, changeState, isRecord, readState, tryChangeState } from "./state-file.ts"

/**
 * One interface of one sandbox. `making` is written before anything is made, so that after a crash nothing is left that
 * nobody knows; `leaving` when its interface is gone but the plane may still hold records of its addresses.
 */
export interface Attachment {
  readonly phase: "making" | "attached" | "leaving"
  readonly container: string
  readonly ifname: string
  readonly netns: string
  /** Inode of the pod's network namespace: tells a namespace from a later one at the same path. */
  readonly netnsInode: number
  /** Name of the CNI network; GC speaks about one. */
  readonly network: string
  readonly namespace: string
  readonly pod: string
  readonly addresses: readonly Address[]
  readonly mac: string
  readonly mtu: number
  readonly hostName: string
  /** Index of the host's end; 0 while it is being made. */
  readonly ifindex: number
}

/** Identity of an attachment. */
export function attachmentKey(ref: { readonly container: string; readonly ifname: string }): string {
  return `${ref.container}/${ref.ifname}`
}

/** Name of the host's end: `hd` and 12 hexadecimal digits, the same for the same attachment. */
export function hostNameOf(ref: { readonly container: string; readonly ifname: string }): string {
  return `hd${digest(attachmentKey(ref)).slice(0, 12)}`
}

/** Whether a link's name is one that `hostNameOf` makes. */
export function isHostName(name: string): boolean {
  return /^hd[0-9a-f]{12}$/.test(name)
}

/** Words for people on who holds an address. */
export function ownerOf(attachment: Pick<Attachment, "namespace" | "pod" | "container" | "ifname">): string {
  return `pod ${attachment.namespace}/${attachment.pod} (sandbox ${attachment.container}, ${attachment.ifname})`
}

/** The node's attachments, in memory and one file each, so that a restarted agent knows its pods. */
export class Attachments {
  readonly #directory: string
  readonly #onChange: (before: Attachment | undefined, after: Attachment | undefined) => void
  readonly #byKey = new Map<string, Attachment>()
  readonly #byPod = new Map<string, Set<Attachment>>()
  readonly #leaving = new Set<Attachment>()
  /** Files that hold no attachment; set aside with the ending `.broken`. */
  readonly broken: string[] = []

  /** `onChange` hears of every attachment that comes, changes or goes, those on the disk first. */
  constructor(directory: string, onChange: (before: Attachment | undefined, after: Attachment | undefined) => void) {
    this.#directory = directory
    this.#onChange = onChange
    mkdirSync(directory, { recursive: true })
    for (const name of readdirSync(directory)) {
      const path = join(directory, name)
      if (name.endsWith(".next")) rmSync(path, { force: true })
      if (!name.endsWith(".json")) continue
      // Begun by a process that died there: nothing was made yet.
      if (statSync(path).size === 0) {
        rmSync(path)
        continue
      }
      const attachment = attachmentOf(readState(path))
      if (attachment !== undefined) {
        this.#set(attachment)
      } else {
        this.broken.push(path)
        renameSync(path, `${path}.broken`)
      }
    }
  }

  get(ref: { readonly container: string; readonly ifname: string }): Attachment | undefined {
    return this.#byKey.get(attachmentKey(ref))
  }

  all(): IterableIterator<Attachment> {
    return this.#byKey.values()
  }

  /** Those of one pod: it has several sandboxes while the runtime replaces one. */
  ofPod({ namespace, pod }: { readonly namespace: string; readonly pod: string }): Iterable<Attachment> {
    return this.#byPod.get(`${namespace}/${pod}`) ?? []
  }

  /** Those on their way out. */
  get leaving(): ReadonlySet<Attachment> {
    return this.#leaving
  }

  /** Throws the system's error when it cannot be written; then nothing has changed. */
  put(attachment: Attachment): void {
    const path = this.#path(attachment)
    if (this.get(attachment) === undefined) beginState(path, attachment)
    else changeState(path, attachment)
    this.#set(attachment)
  }

  /** Counts an attachment as what it will be once it is `put`; for the disk it stays what it is. */
  expect(attachment: Attachment): void {
    this.#set(attachment)
  }

  /**
   * Notes that an attachment is on its way out, on the disk if there is room: a restarted agent that reads the phase before
   * finds no interface and comes to the same.
   */
  leave(attachment: Attachment): void {
    const leaving: Attachment = { ...attachment, phase: "leaving" }
    tryChangeState(this.#path(leaving), leaving)
    this.#set(leaving)
  }

  delete(ref: { readonly container: string; readonly ifname: string }): void {
    tryUnlink(this.#path(ref))
    this.#change(ref, undefined)
  }

  #set(attachment: Attachment): void {
    this.#change(attachment, attachment)
  }

  #change(ref: { readonly container: string; readonly ifname: string }, after: Attachment | undefined): void {
    const key = attachmentKey(ref)
    const before = this.#byKey.get(key)
    if (before !== undefined) {
      const pod = podOf(before)
      const ofPod = this.#byPod.get(pod)
      ofPod?.delete(before)
      if (ofPod?.size === 0) this.#byPod.delete(pod)
      this.#leaving.delete(before)
    }
    if (after === undefined) this.#byKey.delete(key)
    else {
      this.#byKey.set(key, after)
      const ofPod = this.#byPod.get(podOf(after)) ?? new Set()
      this.#byPod.set(podOf(after), ofPod.add(after))
      if (after.phase === "leaving") this.#leaving.add(after)
    }
    this.#onChange(before, after)
  }

  #path(ref: { readonly container: string; readonly ifname: string }): string {
    return join(this.#directory, `${digest(attachmentKey(ref)).slice(0, 32)}.json`)
  }
}

function tryUnlink(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
  }
}

function podOf({ namespace, pod }: Attachment): string {
  return `${namespace}/${pod}`
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex")
}

function attachmentOf(value: unknown): Attachment | undefined {
  if (!isRecord(value)) return undefined
  const {
    phase,
    container,
    ifname,
    netns,
    netnsInode,
    network,
    namespace,
    pod,
    addresses,
    mac,
    mtu,
    hostName,
    ifindex,
  } = value
  if (phase !== "making" && phase !== "attached" && phase !== "leaving") return undefined
  const texts = { container, ifname, netns, network, namespace, pod, mac, hostName }
  const numbers = { netnsInode, mtu, ifindex }
  if (!Object.values(texts).every((text) => typeof text === "string")) return undefined
  if (!Object.values(numbers).every((number) => typeof number === "number")) return undefined
  if (!Array.isArray(addresses)) return undefined
  const parsed = addresses.map((text: unknown) => (typeof text === "string" ? tryParseAddress(text) : undefined))
  if (parsed.includes(undefined)) return undefined
  return {
    ...(texts as Record<keyof typeof texts, string>),
    ...(numbers as Record<keyof typeof numbers, number>),
    phase,
    addresses: parsed as Address[],
  }
}
