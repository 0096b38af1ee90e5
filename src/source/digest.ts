import { hash } from "node:crypto"

const MODULUS = 1n << 128n

/** Identifies a set by the sum of its members' hashes: adding and removing cost the same whatever its size, order is nothing. */
export class SetDigest {
  #sum = 0n

  add(hash: bigint): void {
    this.#sum = (this.#sum + hash) % MODULUS
  }

  remove(hash: bigint): void {
    this.#sum = (this.#sum - hash + MODULUS) % MODULUS
  }

  /** 32 hex digits. */
  get text(): string {
    return this.#sum.toString(16).padStart(32, "0")
  }
}

/** 128 bits that identify an object's name and content, whatever the order of its keys. */
export function contentHash(key: string, value: unknown): bigint {
  return BigInt(`0x${hash("sha256", `${key}\0${canonicalJson(value)}`, "hex").slice(0, 32)}`)
}

function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  let text = ""
  if (Array.isArray(value)) {
    for (const item of value) text += `${text === "" ? "" : ","}${canonicalJson(item)}`
    return `[${text}]`
  }
  const entries = value as Readonly<Record<string, unknown>>
  for (const key of Object.keys(entries).sort()) {
    text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${canonicalJson(entries[key])}`
  }
  return `{${text}}`
}
