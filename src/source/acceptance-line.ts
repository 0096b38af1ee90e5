import { crc32 } from "node:zlib"

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
