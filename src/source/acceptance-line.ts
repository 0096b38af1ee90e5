import { readSync } from "node:fs"
import { crc32 } from "node:zlib"
import { isRecord } from "../model/manifest.ts"
import type { Remembered } from "./acceptance.ts"
import type { FileStamp, RememberedFile } from "./directory/files.ts"

/**
 * A line of the acceptance log: eight hex digits of a CRC-32 over what follows them, a letter that says what it is, the key as JSON,
 * and a body as JSON, with tabs between. JSON has no tab and no line end in it, so a line is whole or it is not one.
 */
export interface LogLine {
  /** `o` an object, `g` an object that is gone, `f` a file, `n` a file that is not to be known any more, `p` the program that writes from here on. */
  readonly type: string
  readonly key: string
}

const HEX = 8

/** The line with its end. */
export function encodeLine(type: string, key: string, body: string): string {
  const rest = `${type}\t${JSON.stringify(key)}\t${body}`
  return `${crc32(rest).toString(16).padStart(HEX, "0")}\t${rest}\n`
}

/** What a line (without its end) is about; undefined when it is damaged. */
export function lineHead(line: Buffer): LogLine | undefined {
  if (!isWhole(line)) return undefined
  const keyStart = HEX + 3
  const keyEnd = line.indexOf(TAB, keyStart)
  if (keyEnd < 0) return undefined
  const key: unknown = JSON.parse(line.toString("utf8", keyStart, keyEnd))
  return typeof key === "string" ? { type: String.fromCharCode(line[HEX + 1] ?? 0), key } : undefined
}

/** The body of a line; undefined when the line is damaged. */
export function lineBody(line: Buffer): unknown {
  return isWhole(line) ? wholeLineBody(line) : undefined
}

/** The body of a line that is known to be whole. */
export function wholeLineBody(line: Buffer): unknown {
  const bodyStart = line.indexOf(TAB, HEX + 3) + 1
  return bodyStart === 0 ? undefined : JSON.parse(line.toString("utf8", bodyStart))
}

const TAB = 0x09

function isWhole(line: Buffer): boolean {
  if (line.length < HEX + 5 || line[HEX] !== TAB || line[HEX + 2] !== TAB) return false
  return (
    line.toString("latin1", 0, HEX) ===
    crc32(line.subarray(HEX + 1))
      .toString(16)
      .padStart(HEX, "0")
  )
}

/** The body of an object's line. */
export function encodeObject({ value, file, places, hash, acceptedAt, refusal }: Remembered): string {
  return JSON.stringify({ file, places, hash: hash.toString(16), acceptedAt, refusal, value })
}

/** The object of a body that `encodeObject` made; undefined when it is none. */
export function decodeObject(key: string, body: unknown): Remembered | undefined {
  if (!isRecord(body)) return undefined
  const { hash, ...rest } = body
  if (typeof hash !== "string" || typeof rest["file"] !== "string" || !isRecord(rest["places"])) return undefined
  // Written by this class, and its checksum is right.
  return { ...(rest as unknown as Omit<Remembered, "key" | "hash">), key, hash: BigInt(`0x${hash}`) }
}

/** The file of a line's body; undefined when it is none. */
export function decodeFile(body: unknown): RememberedFile | undefined {
  if (!isRecord(body) || !Array.isArray(body["keys"])) return undefined
  const keys = body["keys"].map(String)
  const stamp = body["stamp"]
  return isRecord(stamp) ? { stamp: stamp as unknown as FileStamp, keys } : { keys }
}

/** The lines of a file without their ends, read in chunks of that many bytes; what has no end is none. */
export function* linesOf(
  file: number,
  chunkSize: number,
): Generator<{ readonly line: Buffer; readonly offset: number }> {
  let rest = Buffer.alloc(0)
  let offset = 0
  for (let position = 0; ; ) {
    const chunk = Buffer.allocUnsafe(chunkSize)
    const got = readSync(file, chunk, 0, chunkSize, position)
    if (got === 0) return
    position += got
    const bytes = rest.length === 0 ? chunk.subarray(0, got) : Buffer.concat([rest, chunk.subarray(0, got)])
    let start = 0
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      yield { line: bytes.subarray(start, end), offset: offset + start }
      start = end + 1
    }
    rest = bytes.subarray(start)
    offset += start
  }
}
