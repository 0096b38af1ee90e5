import { type NativeRing, native } from "../native.ts"
import { type BpfMap, MapType } from "./map.ts"

/** Bytes that one call copies out of the ring. */
const BATCH_BYTES = 256 * 1024
/** Length and a reserved word before each record in a batch. */
const HEADER = 8

/** Reads a BPF ring buffer. One reader per ring: the consumer's position is the ring's own. */
export class RingReader implements Disposable {
  /** Readable (epoll) when a producer woke its readers. */
  readonly fd: number
  readonly #ring: NativeRing
  readonly #batch = new Uint8Array(BATCH_BYTES)
  readonly #view = new DataView(this.#batch.buffer)
  #open = true

  /** The map must outlive the reader. */
  constructor(map: BpfMap) {
    if (map.type !== MapType.ringbuf) {
      throw new TypeError(`Cannot read ${map.name} as a ring buffer: it is a map of type ${map.type}`)
    }
    this.fd = map.fd
    this.#ring = native().ringOpen(map.fd, map.maxEntries)
  }

  /**
   * Hands up to `limit` records to `each`, in order, and returns their number. The bytes are valid only during the call
   * of `each`; they lie at `offset` of `view`, aligned to eight. A record that throws has been taken.
   */
  read(each: (view: DataView, offset: number, length: number) => void, limit: number): number {
    let total = 0
    while (total < limit) {
      const count = native().ringRead(this.#ring, this.#batch, limit - total)
      if (count === 0) break
      total += count
      for (let i = 0, at = 0; i < count; i++) {
        const length = this.#view.getUint32(at, true)
        each(this.#view, at + HEADER, length)
        at += HEADER + Math.ceil(length / 8) * 8
      }
    }
    return total
  }

  /** Calls `ready` once when a producer wakes its readers, or at once when there are records; returns how to stop that. */
  watch(ready: () => void): () => void {
    const watch = native().watchStart(this.fd, ready)
    return () => native().watchStop(watch)
  }

  /** Bytes that wait in the ring, headers included. */
  available(): number {
    return native().ringAvailable(this.#ring)
  }

  close(): void {
    if (this.#open) native().ringClose(this.#ring)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
