import { addressBytes, familyOf } from "../net/address.ts"
import { prefixBase, prefixLength } from "../net/prefix.ts"
import type { Address, Family, Prefix } from "../net/types.ts"

/** An address as four 32-bit words, IPv4 in the last. */
export type Words = readonly [number, number, number, number]

export function wordsOf(address: Address): Words {
  const bytes = addressBytes(address)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const last = view.getUint32(12)
  return familyOf(address) === 4 ? [0, 0, 0, last] : [view.getUint32(0), view.getUint32(4), view.getUint32(8), last]
}

export interface Block {
  readonly prefix: Prefix
  readonly family: Family
  readonly words: Words
  /** Of its own family: 0–32 or 0–128. */
  readonly length: number
  /** How many peers in force name it. */
  rules: number
}

/** The blocks that peers in force name, for finding the longest around an address, and all that lie around another. */
export class Blocks {
  readonly all = new Map<Prefix, Block>()
  #tables = { 4: new Map<number, Map<string, Block>>(), 6: new Map<number, Map<string, Block>>() }
  #lengths: { 4: number[]; 6: number[] } = { 4: [], 6: [] }
  #chains = new Map<Block | undefined, readonly Block[]>()

  /** Counts one more use; the block if it is new. */
  acquire(prefix: Prefix): Block | undefined {
    const known = this.all.get(prefix)
    if (known !== undefined) {
      known.rules++
      return undefined
    }
    const base = prefixBase(prefix)
    const block = { prefix, family: familyOf(base), words: wordsOf(base), length: prefixLength(prefix), rules: 1 }
    this.all.set(prefix, block)
    const tables = this.#tables[block.family]
    let table = tables.get(block.length)
    if (table === undefined) {
      table = new Map()
      tables.set(block.length, table)
      this.#lengths[block.family] = [...tables.keys()].sort((a, b) => b - a)
    }
    table.set(block.words.join(), block)
    this.#chains.clear()
    return block
  }

  /** Counts one use less; the block if it is gone. */
  release(prefix: Prefix): Block | undefined {
    const block = this.all.get(prefix)
    if (block === undefined || --block.rules > 0) return undefined
    this.all.delete(prefix)
    const tables = this.#tables[block.family]
    const table = tables.get(block.length)
    table?.delete(block.words.join())
    if (table?.size === 0) {
      tables.delete(block.length)
      this.#lengths[block.family] = [...tables.keys()].sort((a, b) => b - a)
    }
    this.#chains.clear()
    return block
  }

  /** The longest block around an address, of length `most` at most. */
  longest(words: Words, family: Family, most = 128): Block | undefined {
    for (const length of this.#lengths[family]) {
      if (length > most) continue
      const block = this.#tables[family].get(length)?.get(masked(words, family, length).join())
      if (block !== undefined) return block
    }
    return undefined
  }

  /** The block and all around it. */
  chain(block: Block | undefined): readonly Block[] {
    if (block === undefined) return []
    let chain = this.#chains.get(block)
    if (chain === undefined) {
      chain = [block, ...this.chain(this.longest(block.words, block.family, block.length - 1))]
      this.#chains.set(block, chain)
    }
    return chain
  }
}

function masked(words: Words, family: Family, length: number): Words {
  if (family === 4) return [0, 0, 0, maskWord(words[3], length)]
  return [
    maskWord(words[0], length),
    maskWord(words[1], length - 32),
    maskWord(words[2], length - 64),
    maskWord(words[3], length - 96),
  ]
}

function maskWord(word: number, bits: number): number {
  if (bits <= 0) return 0
  return bits >= 32 ? word : (word & (-1 << (32 - bits))) >>> 0
}

/** Whether a block contains an address of its family. */
export function contains(block: Pick<Block, "words" | "length" | "family">, words: Words): boolean {
  const { words: own, length } = block
  if (block.family === 4) return maskWord(words[3], length) === own[3]
  return (
    maskWord(words[0], length) === own[0] &&
    maskWord(words[1], length - 32) === own[1] &&
    maskWord(words[2], length - 64) === own[2] &&
    maskWord(words[3], length - 96) === own[3]
  )
}
