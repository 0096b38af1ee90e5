import { createHash } from "node:crypto"

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
  const digest = createHash("sha256").update(key).update("\0").update(canonicalJson(value)).digest("hex")
  return BigInt(`0x${digest.slice(0, 32)}`)
}

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`
  }
  return JSON.stringify(value) ?? "null"
}
