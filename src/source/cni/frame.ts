/** Longest frame accepted, in bytes: a configuration of 1 MiB, every byte of which may be escaped in JSON. */
export const FRAME_LIMIT = 8 * 1024 * 1024

/** A frame: big-endian u32 length, then that many bytes of JSON. */
export function encodeFrame(value: unknown): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(value))
  const frame = new Uint8Array(4 + body.length)
  new DataView(frame.buffer).setUint32(0, body.length)
  frame.set(body, 4)
  return frame
}

/** Collects one frame from chunks as they come. */
export class FrameReader {
  #chunks: Uint8Array[] = []
  #length = 0

  /** The frame's text once it is whole, else undefined. Throws `RangeError` for a frame longer than the limit. */
  push(chunk: Uint8Array): string | undefined {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    if (this.#length < 4) return undefined
    const first = this.#chunks[0]
    if (first === undefined || first.length < 4) this.#chunks = [Buffer.concat(this.#chunks)]
    const head = this.#chunks[0] ?? chunk
    const length = new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(0)
    if (length > FRAME_LIMIT) throw new RangeError(`frame of ${length} bytes, at most ${FRAME_LIMIT} are accepted`)
    if (this.#length < 4 + length) return undefined
    return Buffer.concat(this.#chunks).toString("utf8", 4, 4 + length)
  }
}
